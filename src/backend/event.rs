//! What a backend is told, and how it is written.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::{Body, Epoch, Payload, Publication, RoomName, Seq, Timestamp, UserId};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// What no other event has; the same whenever it is told.
    pub id: Box<str>,
    /// When it happened, by the clock of whoever put the room's events in order.
    pub timestamp: Timestamp,
    /// Where; an inbox where a user came or went; nowhere where it is about all.
    pub room: Option<RoomName>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// The first user came into the room; the inbox's user is online.
    Occupied,
    /// The last one left it; the inbox's user is offline.
    Vacated,
    /// A user came into the room.
    Joined(UserId),
    /// A user left it.
    Left(UserId),
    /// A message was appended to the room's log.
    Message(Arc<Publication>),
    /// What was told of the room is void: this is how it is.
    Resync(Resync),
    /// What was told of all rooms is void: nobody is anywhere.
    Reset,
}

/// How a room is, after something of it could not be told.
#[derive(Debug, Clone, Default)]
pub struct Resync {
    /// How many events were left out, as far as that is known.
    pub lost: u64,
    /// How many users are in the room.
    pub count: usize,
    /// Who they are; none where they are too many to be named.
    pub members: Option<Vec<UserId>>,
}

impl Resync {
    /// Up to so many members are named.
    pub const NAMED: usize = 1000;
}

#[derive(Serialize)]
struct Calling<'a> {
    events: Vec<Telling<'a>>,
}

#[derive(Serialize)]
struct Telling<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    rest: Option<Rest<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rest<'a> {
    Room {
        lost: u64,
        count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<&'a [UserId]>,
    },
    User {
        lost: u64,
        online: bool,
    },
    Message(Message<'a>),
}

#[derive(Serialize)]
struct Message<'a> {
    epoch: Epoch,
    seq: Seq,
    #[serde(flatten)]
    said: Said<'a>,
}

/// What is written, as in the messages of the protocol.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Said<'a> {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a UserId>,
        content: &'a str,
    },
    Event {
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a UserId>,
        event: &'a str,
        data: &'a RawValue,
    },
    Set {
        key: &'a str,
        value: Option<&'a RawValue>,
    },
}

impl<'a> From<&'a Body> for Said<'a> {
    fn from(body: &'a Body) -> Self {
        let (to, payload) = match body {
            Body::Set { key, value } => return Self::Set { key, value: value.as_deref() },
            Body::Message(payload) => (None, payload),
            Body::Direct { to, payload } => (Some(to), payload),
        };
        match payload {
            Payload::Text(content) => Self::Text { to, content },
            Payload::Event { event, data } => Self::Event { to, event, data },
        }
    }
}

impl Event {
    fn telling(&self) -> Telling<'_> {
        let room = self.room.as_ref().map(RoomName::as_str);
        let owner = room.and_then(|room| room.strip_prefix('@'));
        let (kind, room, user, rest) = match (&self.what, owner) {
            (What::Occupied, Some(_)) => ("user_online", None, owner, None),
            (What::Vacated, Some(_)) => ("user_offline", None, owner, None),
            (What::Resync(Resync { lost, count, .. }), Some(_)) => {
                ("resync", None, owner, Some(Rest::User { lost: *lost, online: *count > 0 }))
            }
            (What::Occupied, None) => ("room_occupied", room, None, None),
            (What::Vacated, None) => ("room_vacated", room, None, None),
            (What::Joined(user), _) => ("member_joined", room, Some(user.as_str()), None),
            (What::Left(user), _) => ("member_left", room, Some(user.as_str()), None),
            (What::Resync(Resync { lost, count, members }), None) => {
                let (lost, count) = (*lost, *count);
                (
                    "resync",
                    room,
                    None,
                    Some(Rest::Room { lost, count, members: members.as_deref() }),
                )
            }
            (What::Message(entry), _) => {
                let Publication { epoch, seq, author, body, .. } = &**entry;
                let message = Message { epoch: *epoch, seq: *seq, said: body.into() };
                let user = author.user.as_ref().map(UserId::as_str);
                ("message", room, user, Some(Rest::Message(message)))
            }
            (What::Reset, _) => ("reset", None, None, None),
        };
        Telling { id: &self.id, kind, timestamp: self.timestamp, room, user, rest }
    }
}

/// The body of a call that tells these.
pub(super) fn body(events: &[Event]) -> Vec<u8> {
    let calling = Calling { events: events.iter().map(Event::telling).collect() };
    // These values hold nothing that JSON cannot say.
    serde_json::to_vec(&calling).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Author;

    fn written(room: Option<&str>, what: What) -> Value {
        let room = room.map(RoomName::named);
        let event = Event { id: "7-1".into(), timestamp: 5, room, what };
        let body: Value = serde_json::from_slice(&body(&[event])).unwrap();
        let mut event = body["events"][0].clone();
        assert_eq!((&event["id"], &event["timestamp"]), (&json!("7-1"), &json!(5)));
        let fields = event.as_object_mut().unwrap();
        fields.retain(|name, _| name != "id" && name != "timestamp");
        event
    }

    #[test]
    fn events_are_written_as_documented() {
        let ada = || UserId::parse("ada").unwrap();
        let resync = Resync { lost: 2, count: 1, members: Some(vec![ada()]) };
        let entry = |body| {
            let author = Author { user: Some(ada()), session: None, echo: true };
            let (room, epoch) = (RoomName::named("r"), Epoch::parse("00000000000000ab").unwrap());
            let entry =
                Publication { room, epoch, seq: 3, timestamp: 5, author, body, nonce: None };
            What::Message(Arc::new(entry))
        };
        let raw: Arc<RawValue> = RawValue::from_string("[1]".to_owned()).unwrap().into();
        let place = json!({"type": "message", "room": "r", "user": "ada",
            "epoch": "00000000000000ab", "seq": 3});
        let message = |more: Value| {
            let mut all = place.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let text = || Payload::Text("hi".into());
        for (room, what, expected) in [
            (Some("r"), What::Occupied, json!({"type": "room_occupied", "room": "r"})),
            (Some("r"), What::Vacated, json!({"type": "room_vacated", "room": "r"})),
            (Some("@ada"), What::Occupied, json!({"type": "user_online", "user": "ada"})),
            (Some("@ada"), What::Vacated, json!({"type": "user_offline", "user": "ada"})),
            (
                Some("r"),
                What::Joined(ada()),
                json!({"type": "member_joined", "room": "r", "user": "ada"}),
            ),
            (
                Some("r"),
                What::Left(ada()),
                json!({"type": "member_left", "room": "r", "user": "ada"}),
            ),
            (
                Some("r"),
                What::Resync(resync.clone()),
                json!({"type": "resync", "room": "r", "lost": 2, "count": 1, "members": ["ada"]}),
            ),
            (
                Some("@ada"),
                What::Resync(resync),
                json!({"type": "resync", "user": "ada", "lost": 2, "online": true}),
            ),
            (None, What::Reset, json!({"type": "reset"})),
            (Some("r"), entry(Body::Message(text())), message(json!({"content": "hi"}))),
            (
                Some("r"),
                entry(Body::Message(Payload::Event { event: "e".into(), data: raw.clone() })),
                message(json!({"event": "e", "data": [1]})),
            ),
            (
                Some("r"),
                entry(Body::Set { key: "k".into(), value: Some(raw) }),
                message(json!({"key": "k", "value": [1]})),
            ),
            (
                Some("r"),
                entry(Body::Direct { to: ada(), payload: text() }),
                message(json!({"to": "ada", "content": "hi"})),
            ),
        ] {
            assert_eq!(written(room, what), expected);
        }
    }
}
