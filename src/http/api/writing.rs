//! What calls write, and how it is answered.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::fields::{Message, Value, Writer};
use crate::{
    broker::Receipt,
    http::{failure::Told, schema},
    model::{Body, Draft, Epoch, Position, Problem, RoomName, Said, Seq, UserId, What},
    session::{self, Services},
};

/// What a body names the version of a key in.
const IF_VERSION: &str = "if_version";

/// Where something stands in a log.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct Place {
    #[schema(schema_with = schema::epoch)]
    epoch: Epoch,
    #[schema(schema_with = schema::seq)]
    seq: Seq,
    /// There, and true, where an earlier try with this nonce was appended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    duplicate: bool,
}

impl From<Receipt> for Place {
    fn from(Receipt { position, duplicate }: Receipt) -> Self {
        Self { epoch: position.epoch, seq: position.seq, duplicate }
    }
}

/// Where a message stands in a room's log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    #[schema(schema_with = schema::room)]
    room: RoomName,
    #[serde(flatten)]
    place: Place,
}

/// Where a write to the state stands in the room's log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kept {
    #[schema(schema_with = schema::room)]
    room: RoomName,
    #[schema(schema_with = schema::name)]
    key: Arc<str>,
    #[serde(flatten)]
    place: Place,
    /// What the next write names to be sure that nobody wrote between: `seq`, or 0
    /// where this deleted the key.
    #[schema(schema_with = schema::count)]
    version: Seq,
}

/// Where a direct message stands in its recipient's inbox.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivered {
    /// The recipient.
    #[schema(schema_with = schema::user)]
    user: UserId,
    #[serde(flatten)]
    place: Place,
}

/// What became of one of several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Published(Published),
    Kept(Kept),
    Delivered(Delivered),
    Refused {
        /// The room, where it was one of a list.
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        #[serde(flatten)]
        told: Told,
    },
}

/// Writes a message to a room.
pub(super) async fn publish(
    services: &Services,
    room: RoomName,
    message: Message,
) -> Result<Published, Problem> {
    let Message { payload, by } = message;
    let draft = draft(by, Body::Message(payload), None);
    let place = append(services, &room, draft, IF_VERSION).await?.into();
    Ok(Published { room, place })
}

/// A write to the state of a room.
pub(super) struct Set {
    pub(super) room: RoomName,
    pub(super) key: Arc<str>,
    pub(super) value: Value,
    pub(super) if_version: Option<Seq>,
    pub(super) by: Writer,
}

/// Writes to the state of a room; `named` is what the version was named in.
pub(super) async fn set(
    services: &Services,
    set: Set,
    named: Option<&str>,
) -> Result<Kept, Problem> {
    let Set { room, key, value, if_version, by } = set;
    let is_there = value.is_some();
    let draft = draft(by, Body::Set { key: key.clone(), value }, if_version);
    let named = named.unwrap_or(IF_VERSION);
    let place: Place = append(services, &room, draft, named).await?.into();
    Ok(Kept { room, key, place, version: if is_there { place.seq } else { 0 } })
}

/// Writes to a user's inbox.
pub(super) async fn direct(
    services: &Services,
    user: UserId,
    message: Message,
) -> Result<Delivered, Problem> {
    let Message { payload, by: Writer { author, nonce } } = message;
    let said = services.traces.is_on().then(|| {
        let body = Body::Direct { to: user.clone(), payload: payload.clone() };
        (author.user.clone(), Said::of(&body))
    });
    let sent = session::direct(&*services.broker, author, user.clone(), payload, nonce).await;
    let receipt = sent.map_err(|error| session::publish_problem(error, IF_VERSION))?;
    if let Some((from, said)) = said {
        let (to, seq) = (user.clone(), receipt.position.seq);
        services.traces.note(from.as_ref(), None, None, || What::Direct { to, said, seq });
    }
    services.note_published(receipt.duplicate);
    Ok(Delivered { user, place: receipt.into() })
}

fn draft(by: Writer, body: Body, if_version: Option<Seq>) -> Draft {
    Draft { author: by.author, body, nonce: by.nonce, if_version }
}

async fn append(
    services: &Services,
    room: &RoomName,
    draft: Draft,
    version: &str,
) -> Result<Receipt, Problem> {
    let said = services.traces.is_on().then(|| (draft.author.user.clone(), Said::of(&draft.body)));
    let receipt = services.broker.publish(room, draft).await;
    let receipt = receipt.map_err(|error| session::publish_problem(error, version))?;
    if let Some((user, said)) = said {
        let Receipt { position: Position { epoch, seq }, duplicate } = receipt;
        services.traces.note(user.as_ref(), None, Some(room), || What::Published {
            said,
            epoch,
            seq,
            duplicate,
        });
    }
    services.note_published(receipt.duplicate);
    Ok(receipt)
}
