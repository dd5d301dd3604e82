use std::time::Duration;

use serde::Deserialize;

use super::read;

/// `[inbox]`: what is kept of direct messages until they are seen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// How many messages.
    #[serde(deserialize_with = "read::positive")]
    pub size: usize,
    /// For how long.
    #[serde(deserialize_with = "read::period")]
    pub ttl: Duration,
}
