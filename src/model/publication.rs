use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Epoch, RoomName, Seq, SessionId, Timestamp, UserId};

/// What one client says to others: text, or an application's own event.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The text of a `chat`.
    Text(Arc<str>),
    /// An event of the application with its data.
    Event {
        /// The event's name.
        event: Arc<str>,
        /// Any JSON, passed on as it came.
        data: Arc<RawValue>,
    },
}

/// What an entry of a room's log says.
#[derive(Debug, Clone)]
pub enum Body {
    /// A `chat` or an event, to every member.
    Message(Payload),
    /// A write to the room's shared state.
    Set {
        /// The key.
        key: Arc<str>,
        /// The new value; none deletes the key.
        value: Option<Arc<RawValue>>,
    },
    /// A direct message; its log is the recipient's inbox.
    Direct {
        /// The recipient.
        to: UserId,
        /// What it says.
        payload: Payload,
    },
}

/// Who wrote something.
#[derive(Debug, Clone)]
pub struct Author {
    /// The user; none for a message a backend published without one.
    pub user: Option<UserId>,
    /// The session it was written on; none for a backend.
    pub session: Option<SessionId>,
    /// Whether the writing session wants its own message delivered.
    pub echo: bool,
}

impl Author {
    /// Whether `session` asked not to be told of what it wrote here.
    pub fn left_out(&self, session: &SessionId) -> bool {
        !self.echo && self.session.as_ref() == Some(session)
    }
}

/// An entry of a room's log.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The room, or the recipient's inbox.
    pub room: RoomName,
    /// The life of the log that `seq` counts in.
    pub epoch: Epoch,
    /// The position in the log.
    pub seq: Seq,
    /// When the broker appended it.
    pub timestamp: Timestamp,
    /// Who wrote it.
    pub author: Author,
    /// What it says.
    pub body: Body,
    /// The writer's key against doubling; shown to the writer alone.
    pub nonce: Option<Arc<str>>,
}

/// A publication before the broker has given it a place.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who writes it.
    pub author: Author,
    /// What it says.
    pub body: Body,
    /// The writer's key against doubling.
    pub nonce: Option<Arc<str>>,
    /// For a `set`: the version the writer has seen, 0 for "must not exist".
    pub if_version: Option<Seq>,
}

/// What is handed to whoever is there now and stored nowhere.
#[derive(Debug, Clone)]
pub enum Transient {
    /// An application's momentary event, such as a cursor's place.
    Signal {
        /// Who sends it.
        user: UserId,
        /// The event's name.
        event: Arc<str>,
        /// Any JSON.
        data: Arc<RawValue>,
    },
    /// Somebody began or ceased to type.
    Typing {
        /// Who.
        user: UserId,
        /// Whether they are typing.
        active: bool,
    },
    /// The copy of a direct message for the sender's own sessions.
    DirectCopy {
        /// The sender.
        from: UserId,
        /// The recipient.
        to: UserId,
        /// What it says.
        payload: Payload,
        /// When it was appended to the recipient's inbox.
        timestamp: Timestamp,
        /// The sender's key against doubling.
        nonce: Option<Arc<str>>,
    },
}
