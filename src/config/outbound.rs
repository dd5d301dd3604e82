use std::time::Duration;

use serde::Deserialize;

use super::read;

/// `[outbound]`: how much may wait for one slow reader.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// How many messages that must not be skipped.
    #[serde(deserialize_with = "read::positive")]
    pub reliable_messages: usize,
    /// How many bytes of them.
    #[serde(deserialize_with = "read::buffer_bytes")]
    pub reliable_bytes: usize,
    /// How many bytes of messages of which the latest is enough.
    #[serde(deserialize_with = "read::buffer_bytes")]
    pub latest_bytes: usize,
    /// How long such messages are gathered before they are sent.
    #[serde(deserialize_with = "read::duration")]
    pub coalesce: Duration,
}
