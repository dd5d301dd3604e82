//! What stands in a room's log and goes over its channel, as nodes write it for
//! each other: JSON, in front of it what Redis adds.

use std::{str, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    broker::stored::{Said, decode, given},
    cluster::Entry,
    model::{Epoch, LifeId, Position, Publication, RoomName, Seq, Timestamp, Transient, UserId},
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
    use crate::{
        broker::stored::encode,
        model::{Author, Body, Payload},
    };

    fn raw(text: &str) -> Arc<RawValue> {
        Arc::from(RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn what_is_handed_on_is_read_back() {
        let room = RoomName::parse("r").unwrap();
        let user = UserId::parse("ada").unwrap();
        let event = || Payload::Event { event: "e".into(), data: raw("null") };
        let author = Author { user: Some(user.clone()), session: None, echo: false };
        let stored = encode(&author, &Body::Message(event()), None);
        let place = Position { epoch: Epoch::random(), seq: 7 };
        let handed = [format!("m {} 7 5 ", place.epoch).as_bytes(), &stored].concat();
        let Some(Heard::Published(entry)) = heard(&room, &handed) else { panic!() };
        assert_eq!((entry.epoch, entry.seq, entry.timestamp), (place.epoch, 7, 5));
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
