use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Timestamp, UserId};

/// The size of the JSON a user may show of itself.
pub const META_BYTES: usize = 1024;

/// What a user shows of itself, as its token says.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The identity.
    pub user: UserId,
    /// The display name, if the token carries one.
    pub name: Option<Arc<str>>,
    /// Any JSON of at most [`META_BYTES`], shown in presence.
    pub meta: Option<Arc<RawValue>>,
}

/// What a user says of its own availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Here and answering.
    #[default]
    Online,
    /// Connected, but not looking.
    Away,
    /// Connected and not to be disturbed.
    Busy,
}

impl Status {
    /// The status as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "online" => Ok(Self::Online),
            "away" => Ok(Self::Away),
            "busy" => Ok(Self::Busy),
            _ => Err(()),
        }
    }
}

/// A user's state as others see it, anywhere in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Here and answering.
    Online,
    /// Connected, but not looking.
    Away,
    /// Connected and not to be disturbed.
    Busy,
    /// Without any session.
    Offline,
}

impl From<Status> for Availability {
    fn from(status: Status) -> Self {
        match status {
            Status::Online => Self::Online,
            Status::Away => Self::Away,
            Status::Busy => Self::Busy,
        }
    }
}

/// A user in a room, however many sessions it holds there.
#[derive(Debug, Clone, Serialize)]
pub struct Member {
    /// The identity.
    pub user: UserId,
    /// The display name; the user id where the token carries none.
    pub name: Arc<str>,
    /// What the user says of its availability.
    pub status: Status,
    /// How many sessions of this user are in the room.
    pub sessions: usize,
    /// When the first of them came.
    pub since: Timestamp,
    /// Any JSON the user shows, null where there is none.
    pub meta: Option<Arc<RawValue>>,
}

/// How a [`PresenceDiff`] names users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// What changed since the one before.
    #[default]
    Changes,
    /// All who are there: what was known before is void.
    All,
    /// Nobody: the room is too large, and what was known before is void.
    CountAlone,
}

/// What changed among the members of a room.
#[derive(Debug, Clone, Default)]
pub struct PresenceDiff {
    /// How the lists are to be read.
    pub naming: Naming,
    /// Users that were not there before.
    pub joined: Vec<Member>,
    /// Users whose status, meta, name or number of sessions changed.
    pub updated: Vec<Member>,
    /// Users that are gone.
    pub left: Vec<UserId>,
    /// How many users are there now.
    pub count: usize,
}
