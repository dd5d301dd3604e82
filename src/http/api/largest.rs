use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::Call,
    rooms::{self, RoomShown},
};
use crate::{
    broker::RoomsRequest,
    http::{
        failure::Failure,
        schema::{self, ReadRefusals},
    },
};

/// So many rooms are looked at, at most.
const LOOKED_AT: usize = 10_000;

/// So many are asked for at once.
const PAGE: usize = 1000;

/// So many pages are asked for, at most: some may be short, even empty.
const PAGES: usize = 30;

/// The largest answer, and the usual one.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// The rooms with the most members.
#[derive(Serialize, ToSchema)]
pub(super) struct Largest {
    /// Those with the most members first.
    rooms: Vec<RoomShown>,
    /// How many rooms of this form were looked at.
    #[schema(schema_with = schema::count)]
    looked_at: usize,
    /// Whether these are all there are; else larger ones may be among the others.
    complete: bool,
}

/// See the largest rooms.
///
/// Those with the most members of up to 10,000 that are looked at. With more rooms
/// than that, `complete` is false, and `match` narrows it. A key that is for some
/// rooms sees those.
#[utoipa::path(
    get, path = "/api/v1/largest-rooms", tag = "rooms", operation_id = "largest_rooms",
    params(
        ("match" = Option<schema::RoomPattern>, Query,
            description = "Only rooms of this form; `*` stands for any run of characters"),
        ("limit" = Option<schema::Number>, Query,
            description = "At most so many: 1 to 1,000, clamped; 100 where it is left out"),
    ),
    responses(
        (status = 200, description = "The rooms", body = Largest, example = json!({
            "rooms": [{"room": "lobby", "members": 12, "epoch": "5f0c9a7be2d14c36", "seq": 44}],
            "looked_at": 1, "complete": true,
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn largest(call: Call) -> Result<Largest, Failure> {
    let query = call.query();
    let pattern = rooms::pattern(&query)?;
    let limit = query.limit(USUAL, MOST)?;
    let mut largest: Vec<RoomShown> = Vec::new();
    let (mut seen, mut cursor) = (HashSet::new(), None);
    for _ in 0..PAGES {
        let request = RoomsRequest { pattern: pattern.clone(), cursor, limit: PAGE };
        let (page, next) = rooms::counted(&call, request).await?;
        // Redis may show a room on two pages.
        largest.extend(page.into_iter().filter(|it| seen.insert(it.room.clone())));
        largest.sort_by(|a, b| b.members.cmp(&a.members).then_with(|| a.room.cmp(&b.room)));
        largest.truncate(limit);
        cursor = next;
        if cursor.is_none() || seen.len() >= LOOKED_AT {
            break;
        }
    }
    Ok(Largest { rooms: largest, looked_at: seen.len(), complete: cursor.is_none() })
}
