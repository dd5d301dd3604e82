//! Which rooms there are: found among the keys, a few at a time.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::cmd;

use super::{
    node::Node,
    perhaps::understood,
    script::HEADCOUNT,
    servers::{Master, Masters},
};
use crate::{
    broker::{Listed, Rooms, RoomsRequest, Unavailable, cursor::Cursor},
    model::{Epoch, Position, RoomName, Seq},
};

/// Redis is asked so often for one page, so that a page of a pattern that few
/// rooms have is short rather than slow.
const ROUNDS: usize = 100;

/// Redis looks at so many keys at least each time.
const LOOK: usize = 10;

/// So many rooms are looked at one beside the other.
const AT_ONCE: usize = 64;

/// Users in rooms with more entries than this are not counted one by one.
const COUNTED: usize = 10_000;

impl Node {
    /// A page of the rooms; nothing where the cursor is none of this broker's.
    pub(super) async fn rooms(&self, request: RoomsRequest) -> Result<Option<Rooms>, Unavailable> {
        let RoomsRequest { pattern, cursor, limit } = request;
        let cursor = match cursor {
            None => Cursor::default(),
            Some(text) => match Cursor::parse(&text) {
                Some(cursor) => cursor,
                None => return Ok(None),
            },
        };
        let pattern = self.names.rooms(pattern.as_ref().map_or("*", |it| it.as_str()));
        let Masters { masters, .. } = self.masters().await?;
        let Cursor { part: mut master, place: mut key, rooms: mut found } = cursor;
        for _ in 0..ROUNDS {
            if found.len() >= limit {
                break;
            }
            let Some(server) = masters.get(master) else { break };
            let count = (limit - found.len()).max(LOOK);
            let (next, keys) = self.scan(server, key, &pattern, count).await?;
            let names = keys.iter().filter_map(|key| self.names.room_of(key));
            for room in names.filter_map(|name| RoomName::parse(name).ok()) {
                if !found.contains(&room) {
                    found.push(room);
                }
            }
            key = next;
            master += usize::from(next == 0);
        }
        let left = found.split_off(found.len().min(limit));
        let is_over = left.is_empty() && master >= masters.len();
        let next = (!is_over).then(|| Cursor { part: master, place: key, rooms: left }.written());
        let rooms = stream::iter(found).map(|room| self.listed(room)).buffered(AT_ONCE);
        let rooms: Vec<Option<Listed>> = rooms.try_collect().await?;
        Ok(Some(Rooms { rooms: rooms.into_iter().flatten().collect(), next }))
    }

    async fn scan(
        &self,
        server: &Master,
        from: u64,
        pattern: &str,
        count: usize,
    ) -> Result<(u64, Vec<String>), Unavailable> {
        let mut scan = cmd("SCAN");
        scan.arg(from).arg("MATCH").arg(pattern).arg("COUNT").arg(count);
        let (next, keys) = self.command_at(server, &scan).await?;
        Ok((next, understood(keys).collect()))
    }

    /// Where the room's log ends; nothing where it went meanwhile.
    async fn listed(&self, room: RoomName) -> Result<Option<Listed>, Unavailable> {
        let mut read = cmd("HMGET");
        read.arg(self.names.log(&room).first()).arg("epoch").arg("seq");
        let (epoch, seq): (Option<String>, Option<Seq>) = self.command(&read).await?;
        let epoch = epoch.as_deref().and_then(Epoch::parse);
        let position = |epoch| Position { epoch, seq: seq.unwrap_or(0) };
        Ok(epoch.map(|epoch| Listed { room, position: position(epoch) }))
    }

    /// How many users are in each of the rooms.
    pub(super) async fn headcount(&self, rooms: Vec<RoomName>) -> Result<Vec<usize>, Unavailable> {
        let counts = stream::iter(rooms).map(async |room| {
            self.run::<usize>(HEADCOUNT.call([self.names.who(&room)]).arg(COUNTED)).await
        });
        counts.buffered(AT_ONCE).try_collect().await
    }
}
