use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Body, Code, Epoch, Payload, Problem, RoomName, Seq, SessionId, Status, Timestamp, Transient,
    UserId,
};

/// Whom or what a trace follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// All sessions of a user.
    User(UserId),
    /// All that happens in a room.
    Room(RoomName),
}

/// One thing that happened to a session, a user or a room, as a trace tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Happening {
    /// When, by the clock of the node where it happened.
    pub at: Timestamp,
    /// The node.
    pub node: Arc<str>,
    /// Whose doing it is; none for a backend that named nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// On which session; none where it was none's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// In which room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A session began.
    Connected {
        /// What it goes over.
        transport: Transport,
    },
    /// A connection was refused before it became a session.
    TurnedAway {
        /// For programs.
        cause: Box<str>,
        /// For people.
        message: Box<str>,
    },
    /// A session ended.
    Ended {
        /// The reason of its close, `normal`, or `lost` where none was said.
        reason: Box<str>,
        /// How long it lasted.
        seconds: f64,
    },
    /// A session became a member of a room.
    Joined {
        /// The life of the room's log.
        epoch: Epoch,
        /// Where the log was.
        seq: Seq,
        /// Whether it was told all it had missed; none where it named no place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    },
    /// A session is no member any more, by its own will or that of its new token.
    Left,
    /// A message or a write was appended to a room's log.
    Published {
        /// What it is.
        #[serde(flatten)]
        said: Said,
        /// The life of the log.
        epoch: Epoch,
        /// The place in it.
        seq: Seq,
        /// Whether it was there before, by its nonce.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
    /// A message was put into a user's inbox.
    Direct {
        /// The recipient.
        to: UserId,
        /// What it is; without its content.
        #[serde(flatten)]
        said: Said,
        /// The place in the inbox.
        seq: Seq,
    },
    /// Something was handed on that is stored nowhere.
    Relayed {
        /// What it is; without its content.
        #[serde(flatten)]
        said: Said,
    },
    /// Something was not done.
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        message: Box<str>,
    },
    /// A user said how it is.
    Status {
        /// What it said.
        status: Status,
    },
    /// How many sessions a node has of a user in a room; 0 within the grace.
    Present {
        /// How many.
        sessions: usize,
    },
    /// A node has no part of a user in a room any more: the grace is over, or it left.
    Absent,
    /// A session shows a new token.
    Refreshed,
}

/// What a session goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A WebSocket.
    Websocket,
    /// A stream of events.
    Events,
}

/// What was said, without saying it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// `chat`, `event`, `set`, `signal` or `typing`.
    pub kind: Box<str>,
    /// The event's or the key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The size of its content.
    pub bytes: usize,
    /// What it said, where the trace is to tell that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

impl From<&Problem> for What {
    fn from(problem: &Problem) -> Self {
        Self::Refused { code: problem.code, message: problem.message.as_str().into() }
    }
}

impl Said {
    /// What the body of a message says; of direct messages never more than their
    /// size.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Message(payload) => Self::payload(payload, true),
            Body::Direct { payload, .. } => Self::payload(payload, false),
            Body::Set { key, value } => {
                let text = value.as_ref().map_or("null", |value| value.get());
                Self {
                    kind: "set".into(),
                    name: Some(key.clone()),
                    bytes: text.len(),
                    content: serde_json::from_str(text).ok(),
                }
            }
        }
    }

    /// What is stored nowhere, without its content.
    pub fn of_transient(transient: &Transient) -> Self {
        let (kind, name, bytes) = match transient {
            Transient::Signal { event, data, .. } => {
                ("signal", Some(event.clone()), data.get().len())
            }
            Transient::Typing { .. } => ("typing", None, 0),
            Transient::DirectCopy { payload, .. } => return Self::payload(payload, false),
        };
        Self { kind: kind.into(), name, bytes, content: None }
    }

    fn payload(payload: &Payload, shown: bool) -> Self {
        let mut said = match payload {
            Payload::Text(text) => Self {
                kind: "chat".into(),
                name: None,
                bytes: text.len(),
                content: Some(Value::from(&**text)),
            },
            Payload::Event { event, data } => Self {
                kind: "event".into(),
                name: Some(event.clone()),
                bytes: data.get().len(),
                content: serde_json::from_str(data.get()).ok(),
            },
        };
        said.content = said.content.filter(|_| shown);
        said
    }
}

impl Subject {
    /// Whether a trace of this tells of it.
    pub fn is_in(&self, happening: &Happening) -> bool {
        match self {
            Self::Room(room) => happening.room.as_ref() == Some(room),
            Self::User(user) => {
                let to = match &happening.what {
                    What::Direct { to, .. } => Some(to),
                    _ => None,
                };
                happening.user.as_ref() == Some(user) || to == Some(user)
            }
        }
    }
}

impl Happening {
    /// The same without what was said.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        if let What::Published { said, .. } = &mut self.what {
            said.content = None;
        }
        self
    }
}
