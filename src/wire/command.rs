//! What a client asks: a text message becomes a [`Command`], or a [`Problem`]
//! that says which field is wrong.

mod field;
mod fields;
mod parse;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::value::RawValue;

pub use self::{
    field::{KEY_CHARACTERS, NAME_CHARACTERS},
    parse::{DEFAULT_PAGE, PAGE, parse},
};
use crate::model::{Epoch, Payload, Problem, RoomName, Seq, Status, UserId};

/// What a client marks a message with, to find the reply.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// An integer that every client can represent exactly.
    Number(i64),
    /// 1 to 64 characters.
    Text(Box<str>),
}

/// A message as it came.
#[derive(Debug)]
pub struct Incoming {
    /// What the reply has to carry.
    pub id: Option<RequestId>,
    /// What is asked, or why it cannot be understood.
    pub command: Result<Command, Problem>,
}

/// Where a client left off in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The life of the log; none if the client names one that no server gave.
    pub epoch: Option<Epoch>,
    /// The highest position seen.
    pub seq: Seq,
}

/// A token a client sent. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a client asks.
#[derive(Debug)]
pub enum Command {
    /// Become a member.
    Join {
        /// The room.
        room: RoomName,
        /// Resume from here.
        since: Option<Since>,
        /// How many of the newest messages to get, at most 1,000.
        history: Option<usize>,
        /// Whether the session wants what is said in the room.
        listen: bool,
    },
    /// Cease to be a member.
    Leave {
        /// The room.
        room: RoomName,
    },
    /// `chat` or `publish`: append to the log.
    Publish {
        /// The room.
        room: RoomName,
        /// What is said.
        payload: Payload,
        /// The writer's key against doubling.
        nonce: Option<Arc<str>>,
        /// Whether the session wants its own message delivered.
        echo: bool,
    },
    /// Write to the shared state.
    Set {
        /// The room.
        room: RoomName,
        /// The key.
        key: Arc<str>,
        /// The new value; none deletes the key.
        value: Option<Arc<RawValue>>,
        /// The version the writer knows, 0 for "must not exist".
        if_version: Option<Seq>,
        /// The writer's key against doubling.
        nonce: Option<Arc<str>>,
        /// Whether the session wants its own message delivered.
        echo: bool,
    },
    /// A momentary event to the other members.
    Signal {
        /// The room.
        room: RoomName,
        /// The event's name.
        event: Arc<str>,
        /// Any JSON.
        data: Arc<RawValue>,
    },
    /// The user began or ceased to type.
    Typing {
        /// The room.
        room: RoomName,
        /// Whether it is typing.
        active: bool,
    },
    /// A message to another user's inbox.
    Direct {
        /// The recipient.
        to: UserId,
        /// What is said.
        payload: Payload,
        /// The writer's key against doubling.
        nonce: Option<Arc<str>>,
    },
    /// The inbox is delivered up to here.
    Seen {
        /// The life of the inbox's log that `seq` counts in; where it is not the present
        /// one, nothing is noted.
        epoch: Option<Epoch>,
        /// The last position delivered.
        seq: Seq,
    },
    /// The user's own availability.
    Status {
        /// What to show.
        status: Status,
        /// Any JSON of at most [`META_BYTES`](crate::model::META_BYTES).
        meta: Option<Arc<RawValue>>,
    },
    /// Who is in the room now.
    Presence {
        /// The room.
        room: RoomName,
    },
    /// Follow users' online state.
    Watch {
        /// The users.
        users: Vec<UserId>,
    },
    /// Follow them no more.
    Unwatch {
        /// The users.
        users: Vec<UserId>,
    },
    /// A page of the log.
    History {
        /// The room.
        room: RoomName,
        /// Only what stands before this position.
        before: Option<Seq>,
        /// Only what stands after this position.
        after: Option<Seq>,
        /// How many, 1 to 1,000.
        limit: usize,
    },
    /// A new token for the same user.
    Refresh {
        /// The token.
        token: Token,
    },
    /// A sign of life.
    Ping,
}
