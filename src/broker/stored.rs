//! An entry of a log as brokers keep it outside of this process: JSON, beside it
//! its place and its time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{
    Author, Body, Payload, Position, Publication, RoomName, SessionId, Timestamp, UserId,
};

/// `skip_serializing_if` for what is false.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a client said: text, or an event with data.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Arc<RawValue>>,
}

impl Said {
    pub(super) fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Text(text) => Self { text: Some(text.clone()), ..Self::default() },
            Payload::Event { event, data } => {
                Self { event: Some(event.clone()), data: Some(data.clone()), text: None }
            }
        }
    }

    pub(super) fn payload(self) -> Option<Payload> {
        match (self.text, self.event) {
            (Some(text), _) => Some(Payload::Text(text)),
            (None, Some(event)) => Some(Payload::Event { event, data: given(self.data) }),
            (None, None) => None,
        }
    }
}

/// JSON that may be null, which an optional field does not tell from nothing.
pub(super) fn given(data: Option<Arc<RawValue>>) -> Arc<RawValue> {
    data.unwrap_or_else(|| Arc::from(RawValue::NULL.to_owned()))
}

/// An entry of a log without its place.
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

/// What a client wrote, as it is stored.
pub(super) fn encode(author: &Author, body: &Body, nonce: Option<&Arc<str>>) -> Vec<u8> {
    let mut stored = Stored {
        user: author.user.clone(),
        session: author.session.clone(),
        quiet: !author.echo,
        nonce: nonce.cloned(),
        to: None,
        said: None,
        key: None,
        value: None,
    };
    match body {
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
    // It holds nothing that JSON cannot say.
    serde_json::to_vec(&stored).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Epoch;

    #[test]
    fn what_is_stored_is_read_back() {
        let raw = |text: &str| Arc::from(RawValue::from_string(text.to_owned()).unwrap());
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
            let place = Position { epoch: Epoch::random(), seq: 7 };
            let stored = encode(&author, &body, nonce.as_ref());
            let read = decode(&room, place, 5, &stored).unwrap();
            assert_eq!(format!("{:?}", read.body), format!("{body:?}"));
            assert_eq!(format!("{:?}", read.author), format!("{author:?}"));
            assert_eq!((read.seq, read.timestamp, read.nonce), (7, 5, nonce));
        }
        let place = Position { epoch: Epoch::random(), seq: 7 };
        for other in ["", "{}", "[]", r#"{"to":"ada"}"#] {
            assert!(decode(&room, place, 5, other.as_bytes()).is_none(), "{other}");
        }
    }
}
