//! What stands in a room's log and goes over its channel, as nodes write it for
//! each other: JSON, in front of it what Redis adds.

use std::{str, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    cluster::Entry,
    model::{
        Author, Body, Draft, Epoch, LifeId, Payload, Position, Publication, RoomName, Seq,
        SessionId, Timestamp, Transient, UserId,
    },
};

/// Something that came over a room's channel.
pub(super) enum Heard {
    /// An entry of the log.
    Published(Publication),
    /// Something that is stored nowhere.
    Transient(Transient),
    /// A change of the roll.
    Told(Told),
}

/// A change of a room's roll, under the version it led to.
pub(super) struct Told {
    pub(super) version: RollVersion,
    pub(super) life: LifeId,
    pub(super) entries: Vec<(UserId, Option<Entry>)>,
}

/// How often a roll was changed in one life of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RollVersion {
    pub(super) epoch: Epoch,
    pub(super) version: u64,
}

impl RollVersion {
    /// What stands at the head of a roll.
    pub(super) fn parse(head: &str) -> Option<Self> {
        let (epoch, version) = head.split_once(' ')?;
        Some(Self { epoch: Epoch::parse(epoch)?, version: version.parse().ok()? })
    }
}

/// `skip_serializing_if` for what is false.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a client said: text, or an event with data.
#[derive(Default, Serialize, Deserialize)]
struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Arc<RawValue>>,
}

impl Said {
    fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Text(text) => Self { text: Some(text.clone()), ..Self::default() },
            Payload::Event { event, data } => {
                Self { event: Some(event.clone()), data: Some(data.clone()), text: None }
            }
        }
    }

    fn payload(self) -> Option<Payload> {
        match (self.text, self.event) {
            (Some(text), _) => Some(Payload::Text(text)),
            (None, Some(event)) => Some(Payload::Event { event, data: given(self.data) }),
            (None, None) => None,
        }
    }
}

/// JSON that may be null, which an optional field does not tell from nothing.
fn given(data: Option<Arc<RawValue>>) -> Arc<RawValue> {
    data.unwrap_or_else(|| Arc::from(RawValue::NULL.to_owned()))
}

/// An entry of a log before Redis gave it its place.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    /// Whether the session does not want its own message.
    #[serde(default, skip_serializing_if = "is_false")]
    quiet: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Arc<str>>,
    /// The recipient of a direct message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<UserId>,
    /// What a message says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
    /// The key of a write to the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Arc<str>>,
    /// Its value; none deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Arc<RawValue>>,
}

/// A draft as it is stored.
pub(super) fn encode(draft: &Draft) -> Vec<u8> {
    let mut stored = Stored {
        user: draft.author.user.clone(),
        session: draft.author.session.clone(),
        quiet: !draft.author.echo,
        nonce: draft.nonce.clone(),
        to: None,
        said: None,
        key: None,
        value: None,
    };
    match &draft.body {
        Body::Message(payload) => stored.said = Some(Said::of(payload)),
        Body::Direct { to, payload } => {
            stored.to = Some(to.clone());
            stored.said = Some(Said::of(payload));
        }
        Body::Set { key, value } => {
            stored.key = Some(key.clone());
            stored.value.clone_from(value);
        }
    }
    written(&stored)
}

/// An entry of a log as it was stored; none where another version wrote what
/// this one does not understand.
pub(super) fn decode(
    room: &RoomName,
    place: Position,
    timestamp: Timestamp,
    stored: &[u8],
) -> Option<Publication> {
    let stored: Stored = serde_json::from_slice(stored).ok()?;
    let body = match (stored.key, stored.to, stored.said) {
        (Some(key), ..) => Body::Set { key, value: stored.value },
        (None, Some(to), Some(said)) => Body::Direct { to, payload: said.payload()? },
        (None, None, Some(said)) => Body::Message(said.payload()?),
        (None, _, None) => return None,
    };
    Some(Publication {
        room: room.clone(),
        epoch: place.epoch,
        seq: place.seq,
        timestamp,
        author: Author { user: stored.user, session: stored.session, echo: !stored.quiet },
        body,
        nonce: stored.nonce,
    })
}

#[derive(Serialize, Deserialize)]
enum Passing {
    Signal {
        user: UserId,
        event: Arc<str>,
        #[serde(default)]
        data: Option<Arc<RawValue>>,
    },
    Typing {
        user: UserId,
        active: bool,
    },
    Copy {
        from: UserId,
        to: UserId,
        said: Said,
        timestamp: Timestamp,
        nonce: Option<Arc<str>>,
    },
}

/// A transient as it goes over the channel.
pub(super) fn encode_transient(transient: &Transient) -> Vec<u8> {
    let passing = match transient.clone() {
        Transient::Signal { user, event, data } => {
            Passing::Signal { user, event, data: Some(data) }
        }
        Transient::Typing { user, active } => Passing::Typing { user, active },
        Transient::DirectCopy { from, to, payload, timestamp, nonce } => {
            Passing::Copy { from, to, said: Said::of(&payload), timestamp, nonce }
        }
    };
    let mut text = b"t ".to_vec();
    text.extend(written(&passing));
    text
}

fn decode_transient(text: &str) -> Option<Transient> {
    Some(match serde_json::from_str(text).ok()? {
        Passing::Signal { user, event, data } => {
            Transient::Signal { user, event, data: given(data) }
        }
        Passing::Typing { user, active } => Transient::Typing { user, active },
        Passing::Copy { from, to, said, timestamp, nonce } => {
            Transient::DirectCopy { from, to, payload: said.payload()?, timestamp, nonce }
        }
    })
}

#[derive(Serialize, Deserialize)]
struct Change {
    life: LifeId,
    entries: Vec<(UserId, Option<Entry>)>,
}

/// A change of a roll as it goes over the channel.
pub(super) fn encode_change(life: &LifeId, entries: &[(UserId, Option<Entry>)]) -> Vec<u8> {
    written(&Change { life: life.clone(), entries: entries.to_vec() })
}

/// One entry of a roll.
pub(super) fn encode_entry(entry: Option<&Entry>) -> Vec<u8> {
    entry.map(written).unwrap_or_default()
}

/// These values hold nothing that JSON cannot say.
pub(super) fn written<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads what came over the channel of `room`.
pub(super) fn heard(room: &RoomName, payload: &[u8]) -> Option<Heard> {
    let text = str::from_utf8(payload).ok()?;
    let (kind, rest) = text.split_once(' ')?;
    match kind {
        "m" => {
            let (epoch, rest) = rest.split_once(' ')?;
            let (seq, rest) = rest.split_once(' ')?;
            let (timestamp, stored) = rest.split_once(' ')?;
            let seq: Seq = seq.parse().ok()?;
            let place = Position { epoch: Epoch::parse(epoch)?, seq };
            decode(room, place, timestamp.parse().ok()?, stored.as_bytes()).map(Heard::Published)
        }
        "t" => decode_transient(rest).map(Heard::Transient),
        "p" => {
            let (epoch, rest) = rest.split_once(' ')?;
            let (version, change) = rest.split_once(' ')?;
            let version =
                RollVersion { epoch: Epoch::parse(epoch)?, version: version.parse().ok()? };
            let Change { life, entries } = serde_json::from_str(change).ok()?;
            Some(Heard::Told(Told { version, life, entries }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Arc<RawValue> {
        Arc::from(RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let room = RoomName::parse("r").unwrap();
        let user = UserId::parse("ada").unwrap();
        let event = || Payload::Event { event: "e".into(), data: raw("null") };
        for body in [
            Body::Message(Payload::Text("\"{}\n".into())),
            Body::Message(event()),
            Body::Direct { to: user.clone(), payload: event() },
            Body::Set { key: "".into(), value: Some(raw("[1, 2]")) },
            Body::Set { key: "k".into(), value: None },
        ] {
            let author = Author { user: Some(user.clone()), session: None, echo: false };
            let nonce = Some("n".into());
            let draft = Draft { author, body, nonce, if_version: None };
            let place = Position { epoch: Epoch::random(), seq: 7 };
            let stored = encode(&draft);
            let read = decode(&room, place, 5, &stored).unwrap();
            assert_eq!(format!("{:?}", read.body), format!("{:?}", draft.body));
            assert_eq!(format!("{:?}", read.author), format!("{:?}", draft.author));
            assert_eq!((read.seq, read.timestamp, read.nonce), (7, 5, draft.nonce));
            let handed = [format!("m {} 7 5 ", place.epoch).as_bytes(), &stored].concat();
            let Some(Heard::Published(entry)) = heard(&room, &handed) else { panic!() };
            assert_eq!((entry.epoch, entry.seq), (place.epoch, 7));
        }
        for transient in [
            Transient::Signal { user: user.clone(), event: "e".into(), data: raw("null") },
            Transient::Typing { user: user.clone(), active: true },
            Transient::DirectCopy {
                from: user.clone(),
                to: user,
                payload: event(),
                timestamp: 1,
                nonce: None,
            },
        ] {
            let Some(Heard::Transient(read)) = heard(&room, &encode_transient(&transient)) else {
                panic!()
            };
            assert_eq!(format!("{read:?}"), format!("{transient:?}"));
        }
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        let room = RoomName::parse("r").unwrap();
        for payload in
            ["", "m", "m x 1 1 {}", "x y", "t {}", "p 0 0 {}", "m 0123456789abcdef 1 1 {}"]
        {
            assert!(heard(&room, payload.as_bytes()).is_none(), "{payload}");
        }
        assert!(heard(&room, &[0xff, b' ']).is_none());
    }
}
