use serde::Serialize;
use utoipa::ToSchema;

use super::{call::Call, fields::bad, query::Query};
use crate::{
    broker::{self, Listed, RoomsRequest},
    http::{
        failure::Failure,
        schema::{self, ReadRefusals},
    },
    model::{Epoch, Pattern, RoomName, Seq},
    presence::Headcount,
};

/// A page holds so many rooms at most.
const MOST: usize = 1000;

/// So many where the query does not say.
const USUAL: usize = 100;

/// A page of the rooms there are.
#[derive(Serialize, ToSchema)]
pub(super) struct Rooms {
    rooms: Vec<RoomShown>,
    /// What the next page is asked for with as `cursor`; null where there is none.
    #[schema(schema_with = schema::nullable_text, required = true)]
    next: Option<String>,
}

/// A room.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomShown {
    #[schema(schema_with = schema::room)]
    pub(super) room: RoomName,
    /// How many users are in it.
    #[schema(schema_with = schema::count)]
    pub(super) members: usize,
    #[schema(schema_with = schema::epoch)]
    epoch: Epoch,
    /// The end of its log; 0 where nothing was ever written.
    #[schema(schema_with = schema::count)]
    seq: Seq,
}

/// List the rooms.
///
/// Those that somebody is in, and those with a log or with state that is kept, in
/// no order. A page may have fewer rooms than `limit`, even none, while `next` is
/// there: looking for rooms takes bounded time. A room that is there all the time
/// is on one page at least, on two only where the store moved it meanwhile. A key
/// that is for some rooms sees those.
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms", operation_id = "rooms",
    params(
        ("match" = Option<schema::RoomPattern>, Query,
            description = "Only rooms of this form; `*` stands for any run of characters"),
        ("limit" = Option<schema::Number>, Query,
            description = "At most so many: 1 to 1,000, clamped; 100 where it is left out"),
        ("cursor" = Option<schema::Cursor>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "The page", body = Rooms, example = json!({
            "rooms": [{"room": "lobby", "members": 12, "epoch": "5f0c9a7be2d14c36", "seq": 44}],
            "next": null,
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn list(call: Call) -> Result<Rooms, Failure> {
    let query = call.query();
    let pattern = pattern(&query)?;
    let cursor = query.text("cursor").map(str::to_owned);
    let limit = query.limit(USUAL, MOST)?;
    let (rooms, next) = counted(&call, RoomsRequest { pattern, cursor, limit }).await?;
    Ok(Rooms { rooms, next })
}

/// The form of rooms that a query wants.
pub(super) fn pattern(query: &Query) -> Result<Option<Pattern>, Failure> {
    let wanted = query.text("match").map(Pattern::parse).transpose();
    wanted.map_err(|error| bad(format!("`match`: {error}")).into())
}

/// A page of the rooms that the key is for, each with its members counted, and where
/// the next page begins.
pub(super) async fn counted(
    call: &Call,
    request: RoomsRequest,
) -> Result<(Vec<RoomShown>, Option<String>), Failure> {
    let services = call.services();
    let page = services.broker.rooms(request).await?;
    let broker::Rooms { mut rooms, next } = page.ok_or_else(|| {
        bad("`cursor`: expected `next` of the page before, got another text".to_owned())
    })?;
    rooms.retain(|listed| call.backend.reaches(&listed.room));
    let named = rooms.iter().map(|listed| listed.room.clone()).collect();
    let counts = services.presence.send(Headcount { rooms: named }).await??;
    let shown = |(Listed { room, position }, members)| RoomShown {
        room,
        members,
        epoch: position.epoch,
        seq: position.seq,
    };
    Ok((rooms.into_iter().zip(counts).map(shown).collect(), next))
}
