use serde::Deserialize;

use super::read;

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or levels by module as in `info,rookery=debug`.
    #[serde(deserialize_with = "read::log_filter")]
    pub level: String,
}
