use serde::Deserialize;

use super::{Secret, read};

/// `[api]`: the backend's HTTP calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The keys a backend may show; with none the backend API is off.
    #[serde(deserialize_with = "read::secrets")]
    pub keys: Vec<Secret>,
}
