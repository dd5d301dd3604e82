use std::time::Duration;

use serde::Deserialize;

use super::read;

/// `[heartbeat]`: when a silent connection counts as dead.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// How often a session is pinged.
    #[serde(deserialize_with = "read::period")]
    pub interval: Duration,
    /// How long an answer may take.
    #[serde(deserialize_with = "read::period")]
    pub timeout: Duration,
}

impl Heartbeat {
    /// For how long a client may take nothing of what is sent to it.
    pub fn patience(&self) -> Duration {
        self.interval + self.timeout
    }
}
