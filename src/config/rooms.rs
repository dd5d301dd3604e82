use std::time::Duration;

use serde::Deserialize;

use super::read;
use crate::model::Pattern;

/// `[rooms]`: what is kept of a room, with exceptions by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// How many messages a room's log keeps.
    #[serde(deserialize_with = "read::positive")]
    pub history_size: usize,
    /// How many bytes of them.
    #[serde(deserialize_with = "read::buffer_bytes")]
    pub history_bytes: usize,
    /// For how long.
    #[serde(deserialize_with = "read::period")]
    pub history_ttl: Duration,
    /// Up to how many users are named in presence; rooms with more send the
    /// count alone.
    #[serde(deserialize_with = "read::count")]
    pub presence_limit: usize,
    /// How many sessions may be in a room; 0 for any number.
    #[serde(deserialize_with = "read::count")]
    pub members: usize,
    /// For how long a repeated nonce is recognised.
    #[serde(deserialize_with = "read::period")]
    pub dedup_window: Duration,
    /// How many nonces are remembered within that time.
    #[serde(deserialize_with = "read::positive")]
    pub dedup_entries: usize,
    /// How many keys of shared state a room holds.
    #[serde(deserialize_with = "read::count")]
    pub state_keys: usize,
    /// How many bytes of it.
    #[serde(deserialize_with = "read::bytes")]
    pub state_bytes: usize,
    /// For how long a room that nobody writes to and nobody is in keeps its state.
    #[serde(deserialize_with = "read::period")]
    pub state_ttl: Duration,
    /// Rooms that differ, by name; the first that matches holds.
    pub namespace: Vec<Namespace>,
}

/// `[[rooms.namespace]]`: what differs for the rooms whose names match.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Which rooms; `*` stands for any run of characters.
    #[serde(rename = "match")]
    pub pattern: Pattern,
    /// As [`Rooms::history_size`].
    #[serde(default, deserialize_with = "read::positive")]
    pub history_size: Option<usize>,
    /// As [`Rooms::history_bytes`].
    #[serde(default, deserialize_with = "read::buffer_bytes")]
    pub history_bytes: Option<usize>,
    /// As [`Rooms::history_ttl`].
    #[serde(default, deserialize_with = "read::period")]
    pub history_ttl: Option<Duration>,
    /// As [`Rooms::presence_limit`].
    #[serde(default, deserialize_with = "read::count")]
    pub presence_limit: Option<usize>,
    /// As [`Rooms::members`].
    #[serde(default, deserialize_with = "read::count")]
    pub members: Option<usize>,
    /// As [`Rooms::dedup_window`].
    #[serde(default, deserialize_with = "read::period")]
    pub dedup_window: Option<Duration>,
    /// As [`Rooms::dedup_entries`].
    #[serde(default, deserialize_with = "read::positive")]
    pub dedup_entries: Option<usize>,
    /// As [`Rooms::state_keys`].
    #[serde(default, deserialize_with = "read::count")]
    pub state_keys: Option<usize>,
    /// As [`Rooms::state_bytes`].
    #[serde(default, deserialize_with = "read::bytes")]
    pub state_bytes: Option<usize>,
    /// As [`Rooms::state_ttl`].
    #[serde(default, deserialize_with = "read::period")]
    pub state_ttl: Option<Duration>,
}

/// What holds for one room; the fields are those of [`Rooms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomSettings {
    /// How many messages the log keeps.
    pub history_size: usize,
    /// How many bytes of them.
    pub history_bytes: usize,
    /// For how long.
    pub history_ttl: Duration,
    /// Up to how many users are named in presence.
    pub presence_limit: usize,
    /// How many sessions may be in the room; 0 for any number.
    pub members: usize,
    /// For how long a repeated nonce is recognised.
    pub dedup_window: Duration,
    /// How many nonces are remembered within that time.
    pub dedup_entries: usize,
    /// How many keys of shared state the room holds.
    pub state_keys: usize,
    /// How many bytes of it.
    pub state_bytes: usize,
    /// For how long it is kept while nobody writes to the room or is in it.
    pub state_ttl: Duration,
}

impl Rooms {
    /// What holds for `room`: the values of the first namespace that matches,
    /// and for what it leaves out those of `[rooms]`.
    pub fn for_room(&self, room: &str) -> RoomSettings {
        let general = RoomSettings {
            history_size: self.history_size,
            history_bytes: self.history_bytes,
            history_ttl: self.history_ttl,
            presence_limit: self.presence_limit,
            members: self.members,
            dedup_window: self.dedup_window,
            dedup_entries: self.dedup_entries,
            state_keys: self.state_keys,
            state_bytes: self.state_bytes,
            state_ttl: self.state_ttl,
        };
        let namespace = self.namespace.iter().find(|namespace| namespace.pattern.matches(room));
        namespace.map_or(general, |namespace| namespace.over(general))
    }
}

impl Namespace {
    fn over(&self, general: RoomSettings) -> RoomSettings {
        RoomSettings {
            history_size: self.history_size.unwrap_or(general.history_size),
            history_bytes: self.history_bytes.unwrap_or(general.history_bytes),
            history_ttl: self.history_ttl.unwrap_or(general.history_ttl),
            presence_limit: self.presence_limit.unwrap_or(general.presence_limit),
            members: self.members.unwrap_or(general.members),
            dedup_window: self.dedup_window.unwrap_or(general.dedup_window),
            dedup_entries: self.dedup_entries.unwrap_or(general.dedup_entries),
            state_keys: self.state_keys.unwrap_or(general.state_keys),
            state_bytes: self.state_bytes.unwrap_or(general.state_bytes),
            state_ttl: self.state_ttl.unwrap_or(general.state_ttl),
        }
    }
}
