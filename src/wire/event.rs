//! What the server says: every message of the protocol, and how it is encoded.

mod encode;
mod json;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;

pub use self::encode::encode;
use super::command::RequestId;
use crate::model::{
    Availability, Epoch, Farewell, Member, Payload, Position, PresenceDiff, Problem, Publication,
    RoomName, SessionId, StateEntry, Timestamp, UserId,
};

/// What a session may do, as `welcome` tells it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// The size of a message.
    pub message_bytes: usize,
    /// The number of rooms a session may be in.
    pub rooms_per_session: usize,
    /// How often a session may write.
    pub messages_per_second: u32,
}

/// An entry of a log as a client sees it: the same live, in `joined`, in
/// `history` and in the backend's pages. Its [`Serialize`] gives the message of
/// the JSON protocol.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The entry.
    pub publication: &'a Publication,
    /// Whether it is shown to its own writer, who alone sees the nonce.
    pub own: bool,
}

/// What the server says. Its [`Serialize`] gives the message of the JSON
/// protocol.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are those of the protocol")]
pub enum Event<'a> {
    /// The first message of a connection.
    Welcome {
        session: &'a SessionId,
        user: &'a UserId,
        node: &'a str,
        heartbeat_interval: Duration,
        heartbeat_timeout: Duration,
        expires_at: Option<Timestamp>,
        limits: Limits,
        inbox: Position,
    },
    /// The session is a member from here on.
    Joined {
        id: Option<&'a RequestId>,
        room: &'a RoomName,
        position: Position,
        recovered: bool,
        messages: &'a [Arc<Publication>],
        /// To whom it is shown; nonces of others are left out.
        viewer: &'a UserId,
        members: &'a [Member],
        count: usize,
        state: &'a [StateEntry],
        /// Whether more of the state follows in pages.
        state_more: bool,
    },
    /// A page of the state of a room, behind its `joined`.
    State { room: &'a RoomName, state: &'a [StateEntry], more: bool },
    /// The session is no member any more.
    Left { id: Option<&'a RequestId>, room: &'a RoomName },
    /// Done.
    Ack { id: &'a RequestId, position: Option<Position>, duplicate: bool },
    /// An entry of a log: `chat`, `event`, `set` or `direct`.
    Published {
        publication: &'a Publication,
        /// Whether it goes to its own writer, who alone sees the nonce.
        own: bool,
    },
    /// A momentary event.
    Signal { room: &'a RoomName, user: &'a UserId, event: &'a str, data: &'a RawValue },
    /// Somebody began or ceased to type.
    Typing { room: &'a RoomName, user: &'a UserId, active: bool },
    /// What changed among the members.
    Presence { room: &'a RoomName, diff: &'a PresenceDiff },
    /// Who is there.
    Members { id: Option<&'a RequestId>, room: &'a RoomName, members: &'a [Member], count: usize },
    /// The state of watched users.
    Online { id: Option<&'a RequestId>, users: &'a [(UserId, Availability)] },
    /// The copy of a `direct` for its sender's sessions, without a position.
    DirectCopy {
        from: &'a UserId,
        to: &'a UserId,
        payload: &'a Payload,
        timestamp: Timestamp,
        nonce: Option<&'a str>,
    },
    /// A page of the log.
    History {
        id: Option<&'a RequestId>,
        room: &'a RoomName,
        epoch: Epoch,
        messages: &'a [Arc<Publication>],
        /// To whom it is shown; nonces of others are left out.
        viewer: &'a UserId,
        more: bool,
    },
    /// The new token holds.
    Refreshed { id: Option<&'a RequestId>, expires_at: Option<Timestamp> },
    /// The token ends soon.
    Reauthenticate { expires_at: Timestamp, in_ms: u64 },
    /// The answer to `ping`.
    Pong { id: Option<&'a RequestId>, timestamp: Timestamp },
    /// Something asked for was not done.
    Error { id: Option<&'a RequestId>, problem: &'a Problem },
    /// The connection is about to end.
    Closing { farewell: Farewell, reconnect: bool, after_ms: u64 },
}
