use serde::Deserialize;

use super::read;

/// `[limits]`: what one client may ask of this node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The longest message a client may send, its fragments summed.
    #[serde(deserialize_with = "read::message_bytes")]
    pub message_bytes: usize,
    /// How many rooms one session may be in.
    #[serde(deserialize_with = "read::positive")]
    pub rooms_per_session: usize,
    /// How many messages a second one session may send.
    #[serde(deserialize_with = "read::rate")]
    pub messages_per_second: u32,
    /// How many connections one user may hold, on all nodes together.
    #[serde(deserialize_with = "read::positive")]
    pub connections_per_user: usize,
    /// How many connections one address may hold on this node.
    #[serde(deserialize_with = "read::positive")]
    pub connections_per_ip: usize,
    /// How many connections a second one address, and one user, may open on all
    /// nodes together.
    #[serde(deserialize_with = "read::rate")]
    pub connects_per_second: u32,
    /// How many users one session may watch.
    #[serde(deserialize_with = "read::count")]
    pub watched_users: usize,
}
