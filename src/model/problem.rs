use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{RoomName, Seq};

/// The error codes a client or a backend may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The text is not JSON.
    BadJson,
    /// A field is missing, of a wrong type or out of its range.
    BadMessage,
    /// No message of this `type` exists.
    UnknownType,
    /// The grants do not allow it.
    Forbidden,
    /// Only members of the room may do this.
    NotJoined,
    /// There is no such thing.
    NotFound,
    /// Over a limit in size.
    TooLarge,
    /// The session is in as many rooms as it may be.
    TooManyRooms,
    /// The room has as many members as it may have.
    RoomFull,
    /// Too many in too short a time.
    RateLimited,
    /// The state's version is not the one the writer named.
    Conflict,
    /// The broker cannot take it now.
    Unavailable,
    /// The new token is not accepted.
    TokenRejected,
    /// A defect of the server.
    Internal,
    /// No valid token or API key.
    Unauthorized,
    /// The page's origin is not on the list.
    OriginNotAllowed,
}

/// The value a compare-and-set found in place of the one it named.
#[derive(Debug, Clone, Serialize)]
pub struct Current {
    /// The value; null where the key does not exist.
    pub value: Option<Arc<RawValue>>,
    /// The `seq` of the key's last write; 0 where it does not exist.
    pub version: Seq,
}

/// Something asked for was not done, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// For programs.
    pub code: Code,
    /// For people: the field, what came and what was expected.
    pub message: String,
    /// The room it is about.
    pub room: Option<RoomName>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
    /// What a compare-and-set found.
    pub current: Option<Current>,
}

impl Problem {
    /// A problem with a message for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), room: None, retry_after: None, current: None }
    }

    /// The same, about a room.
    #[must_use]
    pub fn in_room(mut self, room: &RoomName) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// The same, worth another try after a while.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same, with what a compare-and-set found.
    #[must_use]
    pub fn with_current(mut self, current: Current) -> Self {
        self.current = Some(current);
        self
    }
}
