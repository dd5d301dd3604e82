use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, read};
use crate::model::{Pattern, RoomName};

/// `[api]`: the backend's HTTP calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The keys a backend may show; each may do everything.
    #[serde(deserialize_with = "read::secrets")]
    pub keys: Vec<Secret>,
    /// Keys that may do a part of it.
    pub key: Vec<ApiKey>,
}

/// `[[api.key]]`: a key, and what it may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What it is called in the log.
    #[serde(deserialize_with = "read::key_name")]
    pub name: String,
    /// The key itself.
    #[serde(deserialize_with = "read::api_key")]
    pub key: Secret,
    /// Which calls it may make.
    pub scopes: Vec<Scope>,
    /// In which rooms it may make those that name a room; in all where this is
    /// left out.
    #[serde(default)]
    pub rooms: Option<Vec<Pattern>>,
}

/// What a key may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To write messages to rooms.
    Publish,
    /// To write shared state.
    Set,
    /// To write to users' inboxes.
    Direct,
    /// To read logs and shared state.
    History,
    /// To see who is in a room, and whether a user is there.
    Presence,
    /// To list the rooms.
    Rooms,
    /// To disconnect users and to revoke tokens.
    Disconnect,
    /// To see the nodes, and their figures.
    Cluster,
    /// To follow what a user does, or what happens in a room.
    Trace,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Publish,
        Self::Set,
        Self::Direct,
        Self::History,
        Self::Presence,
        Self::Rooms,
        Self::Disconnect,
        Self::Cluster,
        Self::Trace,
    ];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Set => "set",
            Self::Direct => "direct",
            Self::History => "history",
            Self::Presence => "presence",
            Self::Rooms => "rooms",
            Self::Disconnect => "disconnect",
            Self::Cluster => "cluster",
            Self::Trace => "trace",
        })
    }
}

impl Api {
    /// Whether there is a backend API at all.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.key.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (at, key) in self.key.iter().enumerate() {
            let place = |field| format!("api.key[{at}].{field}");
            if key.scopes.is_empty() {
                return Err(ConfigError::value(place("scopes"), "none", "one scope or more"));
            }
            if key.rooms.as_ref().is_some_and(Vec::is_empty) {
                let expected = "one room pattern or more, or no such key for all rooms";
                return Err(ConfigError::value(place("rooms"), "none", expected));
            }
            let mut others = self.key.iter().take(at);
            if let Some(other) = others.find(|other| other.name == key.name) {
                let got = format!("{:?} a second time", other.name);
                return Err(ConfigError::value(place("name"), got, "each name once"));
            }
            // One that may do everything would make the list of scopes a lie.
            let mut others = self.keys.iter().chain(self.key.iter().take(at).map(|it| &it.key));
            if others.any(|other| *other == key.key) {
                let expected = "each key once in api.keys and [[api.key]]";
                return Err(ConfigError::value(place("key"), "one a second time", expected));
            }
        }
        Ok(())
    }
}

impl ApiKey {
    /// Whether it may do something in a room.
    pub fn reaches(&self, room: &RoomName) -> bool {
        let patterns = self.rooms.as_ref();
        patterns.is_none_or(|patterns| patterns.iter().any(|it| it.matches(room.as_str())))
    }
}
