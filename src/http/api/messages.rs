use std::sync::Arc;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    call::Call,
    writing::{self, Published},
};
use crate::{
    broker::PageRequest,
    http::{
        failure::Failure,
        schema::{self, LogEntry, Message, ReadRefusals, WriteRefusals},
    },
    model::{Epoch, Publication, RoomName},
    wire::{DEFAULT_PAGE, PAGE, Shown},
};

/// Publish a message.
///
/// Appends it to the room's log and hands it to every member. Nobody has to be
/// in the room. It is answered once the message is in the log. To be sent again
/// after a 503, with the same `nonce`.
#[utoipa::path(
    post, path = "/api/v1/rooms/{room}/messages", tag = "rooms", operation_id = "publish",
    params(("room" = schema::Room, Path, description = "The room")),
    request_body(content = Message, example = json!({"content": "Deployed 1.4.2", "user": "ci"})),
    responses(
        (status = 200, description = "It is in the log", body = Published,
            example = json!({"room": "lobby", "epoch": "5f0c9a7be2d14c36", "seq": 42})),
        WriteRefusals,
    ),
)]
pub(super) async fn publish(call: Call) -> Result<Published, Failure> {
    let room = call.room()?;
    let message = call.message()?;
    Ok(writing::publish(call.services(), room, message).await?)
}

/// A part of a room's log, in rising order.
#[derive(Serialize, ToSchema)]
pub(super) struct LogPage {
    #[schema(schema_with = schema::room)]
    room: RoomName,
    /// The life of the log; of a room that nobody ever wrote to, a new one each time.
    #[schema(schema_with = schema::epoch)]
    epoch: Epoch,
    #[serde(serialize_with = "shown")]
    #[schema(value_type = Vec<LogEntry>)]
    messages: Vec<Arc<Publication>>,
    /// Whether the log goes on in the direction asked for.
    more: bool,
}

/// Nonces are for their writers alone.
fn shown<S: Serializer>(messages: &[Arc<Publication>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(messages.iter().map(|publication| Shown { publication, own: false }))
}

/// Read a page of the log.
///
/// With `after`, the page begins behind that place; else it ends before `before`,
/// or with the newest message. Both exclude their own place.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/messages", tag = "rooms", operation_id = "history",
    params(
        ("room" = schema::Room, Path, description = "The room"),
        ("after" = Option<schema::Number>, Query, description = "Only what stands after this place"),
        ("before" = Option<schema::Number>, Query, description = "Only what stands before this place"),
        ("limit" = Option<schema::Number>, Query,
            description = "At most so many: 1 to 1,000, clamped; 50 where it is left out"),
    ),
    responses(
        (status = 200, description = "The page", body = LogPage, example = json!({
            "room": "lobby", "epoch": "5f0c9a7be2d14c36", "more": false,
            "messages": [{"type": "chat", "room": "lobby", "seq": 42, "user": "ci",
                "content": "Deployed 1.4.2", "timestamp": 1_767_225_600_000_u64}],
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn page(call: Call) -> Result<LogPage, Failure> {
    let (room, query) = (call.room()?, call.query());
    let (before, after) = (query.count("before")?, query.count("after")?);
    let limit = query.limit(DEFAULT_PAGE, PAGE)?;
    let page = call.services().broker.page(&room, PageRequest { before, after, limit }).await?;
    Ok(LogPage { room, epoch: page.epoch, messages: page.messages, more: page.more })
}
