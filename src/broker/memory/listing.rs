//! Which rooms there are.

use super::{MemoryBroker, lock};
use crate::{
    broker::{Listed, Rooms, RoomsRequest, cursor::Cursor},
    model::RoomName,
};

/// After so many rooms were looked at a page ends, so that one of a pattern that
/// few rooms have is short rather than slow.
const LOOKED_AT: usize = 10_000;

impl MemoryBroker {
    /// A page of the rooms; nothing where the cursor is none of this broker's.
    pub(super) fn list(&self, request: &RoomsRequest) -> Option<Rooms> {
        let mut at = match &request.cursor {
            None => Cursor::default(),
            Some(cursor) => Cursor::parse(cursor)?,
        };
        let (mut rooms, mut looked_at) = (Vec::new(), 0);
        while let Some(shard) = self.shards.get(at.part) {
            let wanted = request.limit - rooms.len();
            if wanted == 0 || looked_at >= LOOKED_AT {
                return Some(Rooms { rooms, next: Some(at.written()) });
            }
            let after = at.rooms.last().map_or("", RoomName::as_str);
            let held = lock(shard);
            looked_at += held.len();
            let is_wanted = |room: &RoomName| {
                let name = room.as_str();
                !room.is_inbox()
                    && name > after
                    && request.pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
            };
            let mut names: Vec<&RoomName> = held.keys().filter(|room| is_wanted(room)).collect();
            let is_all = names.len() <= wanted;
            if !is_all {
                names.select_nth_unstable(wanted);
                names.truncate(wanted);
            }
            names.sort_unstable();
            let listed = names.into_iter().filter_map(|room| {
                let position = held.get(room)?.position();
                Some(Listed { room: room.clone(), position })
            });
            rooms.extend(listed);
            at = match rooms.last().filter(|_| !is_all) {
                Some(last) => Cursor { rooms: vec![last.room.clone()], ..at },
                None => Cursor { part: at.part + 1, ..Cursor::default() },
            };
        }
        Some(Rooms { rooms, next: None })
    }
}
