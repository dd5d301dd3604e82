use std::time::Duration;

use serde::Deserialize;

use super::read;

/// `[presence]`: when a user counts as gone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// How long a user whose connection broke is still shown, so that a
    /// reloaded page is not a leave and a join.
    #[serde(deserialize_with = "read::duration")]
    pub grace: Duration,
    /// How long the users of a silent node are still shown.
    #[serde(deserialize_with = "read::period")]
    pub lease: Duration,
}
