use std::collections::HashSet;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    call::Call,
    fields::{self, bad},
    writing::{self, Outcome},
};
use crate::{
    http::{
        failure::Failure,
        limits::MOST_ROOMS,
        schema::{Broadcast, OutcomeShown, WriteRefusals},
    },
    model::{Code, Problem, RoomName},
};

#[derive(Deserialize)]
struct Rooms {
    rooms: Vec<String>,
}

/// What became of each, in the order asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Results {
    #[schema(value_type = Vec<OutcomeShown>)]
    results: Vec<Outcome>,
}

impl Results {
    /// What became of each. Where the broker took none of them the whole call is
    /// refused, so that a backend tries again as after any other call.
    pub(super) fn of(
        results: Vec<(Option<RoomName>, Result<Outcome, Problem>)>,
    ) -> Result<Self, Failure> {
        let is_away = |(_, result): &(_, Result<Outcome, Problem>)| {
            result.as_ref().is_err_and(|problem| problem.code == Code::Unavailable)
        };
        if results.iter().all(is_away)
            && let Some((_, Err(problem))) = results.first()
        {
            return Err(problem.clone().into());
        }
        let outcome = |(room, result): (Option<RoomName>, Result<Outcome, Problem>)| {
            result.unwrap_or_else(|problem| Outcome::Refused { room, told: problem.into() })
        };
        Ok(Self { results: results.into_iter().map(outcome).collect() })
    }
}

/// Publish one message to many rooms.
///
/// At most 100 rooms, each once. All of the body is looked at before anything is
/// published; then each room is answered by itself, in the order of `rooms`. A
/// `nonce` holds in each room.
#[utoipa::path(
    post, path = "/api/v1/broadcast", tag = "rooms", operation_id = "broadcast",
    request_body(content = Broadcast,
        example = json!({"rooms": ["lobby", "dash:eu"], "event": "notice", "data": {"until": 17}})),
    responses(
        (status = 200, description = "What became of it in each room", body = Results,
            example = json!({"results": [
                {"room": "lobby", "epoch": "5f0c9a7be2d14c36", "seq": 43},
                {"room": "dash:eu", "epoch": "91c2e07d55aa0b14", "seq": 7},
            ]})),
        WriteRefusals,
    ),
)]
pub(super) async fn broadcast(call: Call) -> Result<Results, Failure> {
    let Rooms { rooms } = call.read()?;
    if !(1..=MOST_ROOMS).contains(&rooms.len()) {
        let message = format!("`rooms`: expected 1 to {MOST_ROOMS} rooms, got {}", rooms.len());
        return Err(bad(message).into());
    }
    let mut named = HashSet::new();
    let mut to = Vec::with_capacity(rooms.len());
    for (at, name) in rooms.iter().enumerate() {
        let room = fields::room(&format!("rooms[{at}]"), name)?;
        call.backend.require_room(&room)?;
        if !named.insert(room.clone()) {
            return Err(
                bad(format!("`rooms[{at}]`: expected each room once, got {name:?} again")).into()
            );
        }
        to.push(room);
    }
    let message = call.message()?;
    let published = to.into_iter().map(async |room| {
        let published = writing::publish(call.services(), room.clone(), message.clone()).await;
        (Some(room), published.map(Outcome::Published))
    });
    Results::of(join_all(published).await)
}
