//! An event as it waits in Redis for a backend, the way scripts write it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{self, Heard};
use crate::{
    backend::{Event, Resync, What},
    model::{RoomName, Timestamp, UserId},
};

/// The fields of an event by their names: what makes it another than one of an
/// earlier life of its stream, what it is, whose, and what more is to be said.
#[rustfmt::skip]
pub(super) type Fields = (String, String, String, String, String, String, String, String);

/// What a script says of a room whose events were left out.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) lost: u64,
    pub(super) count: usize,
    pub(super) members: Option<Vec<UserId>>,
}

/// The event at a place of the stream of a room; none where this version does not
/// understand it.
pub(super) fn read(room: &RoomName, place: &str, fields: Fields) -> Option<Event> {
    let (_, fresh, _, kind, _, user, _, data) = fields;
    let id = format!("{fresh}-{place}").into();
    let (what, timestamp) = (what(room, &kind, &user, &data)?, timestamp(place)?);
    Some(Event { id, timestamp, room: Some(room.clone()), what })
}

/// When an event was written: what its place in the stream begins with.
fn timestamp(place: &str) -> Option<Timestamp> {
    place.split_once('-')?.0.parse().ok()
}

/// What happened.
pub(super) fn what(room: &RoomName, kind: &str, user: &str, data: &str) -> Option<What> {
    Some(match kind {
        "o" => What::Occupied,
        "v" => What::Vacated,
        "j" => What::Joined(UserId::parse(user).ok()?),
        "l" => What::Left(UserId::parse(user).ok()?),
        "m" => match entry::heard(room, format!("m {data}").as_bytes())? {
            Heard::Published(entry) => What::Message(Arc::new(entry)),
            Heard::Transient(_) | Heard::Told(_) => return None,
        },
        "r" => {
            let State { lost, count, members } = serde_json::from_str(data).ok()?;
            let members = if count == 0 { Some(Vec::new()) } else { members };
            What::Resync(Resync { lost, count, members })
        }
        _ => return None,
    })
}
