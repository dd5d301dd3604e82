use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{Event, Shown};
use crate::model::{
    Availability, Body, Naming, Payload, PresenceDiff, Publication, Seq, StateEntry, UserId,
};

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = |kind: &str| Message::new(serializer, kind);
        match *self {
            Self::Welcome {
                session,
                user,
                node,
                heartbeat_interval,
                heartbeat_timeout,
                expires_at,
                limits,
                inbox,
            } => message("welcome")?
                .with("session", session)?
                .with("user", user)?
                .with("node", node)?
                .with("protocol", &1)?
                .with("heartbeat", &Heartbeat::new(heartbeat_interval, heartbeat_timeout))?
                .with("expires_at", &expires_at)?
                .with("limits", &limits)?
                .with("inbox", &inbox)?
                .end(),
            Self::Joined {
                id,
                room,
                position,
                recovered,
                messages,
                viewer,
                members,
                count,
                state,
                state_more,
            } => message("joined")?
                .with_some("id", id)?
                .with("room", room)?
                .with("epoch", &position.epoch)?
                .with("seq", &position.seq)?
                .with("recovered", &recovered)?
                .with("messages", &Page { messages, viewer })?
                .with("members", members)?
                .with("count", &count)?
                .with("state", &State(state))?
                .with_some("state_more", state_more.then_some(&true))?
                .end(),
            Self::State { room, state, more } => message("state")?
                .with("room", room)?
                .with("state", &State(state))?
                .with("more", &more)?
                .end(),
            Self::Left { id, room } => {
                message("left")?.with_some("id", id)?.with("room", room)?.end()
            }
            Self::Ack { id, position, duplicate } => message("ack")?
                .with("id", id)?
                .with_some("seq", position.map(|position| position.seq).as_ref())?
                .with_some("epoch", position.map(|position| position.epoch).as_ref())?
                .with_some("duplicate", duplicate.then_some(&true))?
                .end(),
            Self::Published { publication, own } => Shown { publication, own }.write(message),
            Self::Signal { room, user, event, data } => message("signal")?
                .with("room", room)?
                .with("user", user)?
                .with("event", event)?
                .with("data", data)?
                .end(),
            Self::Typing { room, user, active } => message("typing")?
                .with("room", room)?
                .with("user", user)?
                .with("active", &active)?
                .end(),
            Self::Presence { room, diff } => {
                let message = message("presence")?.with("room", room)?;
                let message = match diff.naming {
                    Naming::CountAlone => message,
                    Naming::All => message.with("reset", &true)?.with_lists(diff)?,
                    Naming::Changes => message.with_lists(diff)?,
                };
                message.with("count", &diff.count)?.end()
            }
            Self::Members { id, room, members, count } => message("members")?
                .with_some("id", id)?
                .with("room", room)?
                .with("members", members)?
                .with("count", &count)?
                .end(),
            Self::Online { id, users } => {
                message("online")?.with_some("id", id)?.with("users", &Users(users))?.end()
            }
            Self::DirectCopy { from, to, payload, timestamp, nonce } => message("direct")?
                .with("from", from)?
                .with("to", to)?
                .with_payload(payload)?
                .with("timestamp", &timestamp)?
                .with_some("nonce", nonce)?
                .end(),
            Self::History { id, room, epoch, messages, viewer, more } => message("history")?
                .with_some("id", id)?
                .with("room", room)?
                .with("epoch", &epoch)?
                .with("messages", &Page { messages, viewer })?
                .with("more", &more)?
                .end(),
            Self::Refreshed { id, expires_at } => {
                message("refreshed")?.with_some("id", id)?.with("expires_at", &expires_at)?.end()
            }
            Self::Reauthenticate { expires_at, in_ms } => message("reauthenticate")?
                .with("expires_at", &expires_at)?
                .with("in_ms", &in_ms)?
                .end(),
            Self::Pong { id, timestamp } => {
                message("pong")?.with_some("id", id)?.with("timestamp", &timestamp)?.end()
            }
            Self::Error { id, problem } => message("error")?
                .with_some("id", id)?
                .with("code", &problem.code)?
                .with("message", &problem.message)?
                .with_some("room", problem.room.as_ref())?
                .with_some("retry_after_ms", problem.retry_after.map(milliseconds).as_ref())?
                .with_some("current", problem.current.as_ref())?
                .end(),
            Self::Closing { farewell, reconnect, after_ms } => message("closing")?
                .with("reason", farewell.reason())?
                .with("reconnect", &reconnect)?
                .with("after_ms", &after_ms)?
                .end(),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(|kind| Message::new(serializer, kind))
    }
}

impl Shown<'_> {
    fn write<M: SerializeMap>(
        self,
        message: impl FnOnce(&str) -> Result<Message<M>, M::Error>,
    ) -> Result<M::Ok, M::Error> {
        let Publication { room, epoch, seq, timestamp, author, body, nonce } = self.publication;
        let placed = match body {
            Body::Message(payload) => {
                let kind = match payload {
                    Payload::Text(_) => "chat",
                    Payload::Event { .. } => "event",
                };
                message(kind)?
                    .with("room", room)?
                    .with("seq", seq)?
                    .with("user", &author.user)?
                    .with_payload(payload)?
            }
            Body::Set { key, value } => message("set")?
                .with("room", room)?
                .with("seq", seq)?
                .with("user", &author.user)?
                .with("key", key)?
                .with("value", value)?
                .with("version", seq)?,
            // The room is the recipient's inbox, which clients do not name.
            Body::Direct { to, payload } => message("direct")?
                .with("epoch", epoch)?
                .with("seq", seq)?
                .with("from", &author.user)?
                .with("to", to)?
                .with_payload(payload)?,
        };
        // A `set` waits as the latest of its key, the same for everybody.
        let has_nonce = self.own && !matches!(body, Body::Set { .. });
        placed
            .with("timestamp", timestamp)?
            .with_some("nonce", nonce.as_ref().filter(|_| has_nonce))?
            .end()
    }
}

/// An object whose first field is its `type`.
struct Message<M>(M);

impl<M: SerializeMap> Message<M> {
    fn new<S>(serializer: S, kind: &str) -> Result<Self, M::Error>
    where
        S: Serializer<SerializeMap = M, Ok = M::Ok, Error = M::Error>,
    {
        Self(serializer.serialize_map(None)?).with("type", kind)
    }

    fn with<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Result<Self, M::Error> {
        self.0.serialize_entry(name, value)?;
        Ok(self)
    }

    /// With a field that is left out where it has no value.
    fn with_some<T: Serialize + ?Sized>(
        self,
        name: &str,
        value: Option<&T>,
    ) -> Result<Self, M::Error> {
        match value {
            Some(value) => self.with(name, value),
            None => Ok(self),
        }
    }

    fn with_payload(self, payload: &Payload) -> Result<Self, M::Error> {
        match payload {
            Payload::Text(text) => self.with("content", text),
            Payload::Event { event, data } => self.with("event", event)?.with("data", data),
        }
    }

    fn with_lists(self, diff: &PresenceDiff) -> Result<Self, M::Error> {
        self.with("joined", &diff.joined)?.with("updated", &diff.updated)?.with("left", &diff.left)
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.0.end()
    }
}

#[derive(Serialize)]
struct Heartbeat {
    interval_ms: u64,
    timeout_ms: u64,
}

impl Heartbeat {
    fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval_ms: milliseconds(interval), timeout_ms: milliseconds(timeout) }
    }
}

/// Rounded up: who waits this long has waited long enough.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Entries of a log as one user sees them.
struct Page<'a> {
    messages: &'a [Arc<Publication>],
    viewer: &'a UserId,
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.messages.iter().map(|publication| Shown {
            publication,
            own: publication.author.user.as_ref() == Some(self.viewer),
        }))
    }
}

struct State<'a>(&'a [StateEntry]);

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Held<'a> {
            value: &'a RawValue,
            version: Seq,
        }
        serializer.collect_map(
            self.0
                .iter()
                .map(|entry| (&entry.key, Held { value: &entry.value, version: entry.version })),
        )
    }
}

struct Users<'a>(&'a [(UserId, Availability)]);

impl Serialize for Users<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(user, availability)| (user, availability)))
    }
}
