use serde::Deserialize;

use super::read;

/// `[metrics]`: what `GET /metrics` shows besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Of how many rooms, those with most members, it shows how many they have.
    #[serde(deserialize_with = "read::shown_rooms")]
    pub top_rooms: usize,
}
