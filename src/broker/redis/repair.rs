//! What was missed while nothing was heard: where the logs end, and who is where.

use std::time::Instant;

use futures_util::stream::{self, StreamExt};

use super::{
    entry::RollVersion,
    followed::{Before, Roll},
    node::Node,
};
use crate::{
    broker::{Delivery, Unavailable},
    cluster,
    model::{Position, RoomName},
};

/// So many rooms are asked after at once.
const AT_ONCE: usize = 128;

impl Node {
    /// Compares rooms with their logs and their rolls. Answers whether that could
    /// be done for all; the others stay among the rooms whose messages were missed.
    pub(super) async fn compare_all(&self, rooms: Vec<RoomName>) -> bool {
        let compared = stream::iter(rooms).map(|room| async move {
            let channel = self.names.channel(&room);
            let loss = self.table().as_mut().catching_up(&channel);
            let done = self.compare(&room).await.is_ok();
            match loss {
                Some(loss) if done => self.table().as_mut().caught_up(&channel, loss),
                None if !done => self.table().as_mut().miss(&channel),
                _ => {}
            }
            done
        });
        // To the end: a room that was not compared has to be marked.
        compared.buffer_unordered(AT_ONCE).fold(true, |all, done| async move { all && done }).await
    }

    /// Reads the rolls that could not be read, or not be passed on, before.
    pub(super) async fn renew_stale(&self) {
        let stale = self.table().stale();
        let renewed = stream::iter(stale).map(|room| async move { self.renew_roll(&room).await });
        renewed.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Tells the workers of a room where its log ends; has its roll read where
    /// this node missed a change of it.
    async fn compare(&self, room: &RoomName) -> Result<(), Unavailable> {
        let (end, head) = self.touch(room).await?;
        if self.tell_end(room, end, head) {
            self.renew_roll(room).await;
        }
        Ok(())
    }

    /// Answers whether the roll has to be read.
    fn tell_end(&self, room: &RoomName, end: Position, head: Option<RollVersion>) -> bool {
        let mut table = self.table();
        let Some(followed) = table.get(&self.names.channel(room)) else { return false };
        followed.reached(end);
        // Whatever this node knows of the log's end, by an acknowledgement or
        // else: how far the fan-out is, only a worker knows.
        for subscriber in followed.subscribers.iter() {
            subscriber.deliver(Delivery::End(room.clone(), end));
        }
        followed.roll_is_behind(head)
    }

    /// Reads the roll of a room and tells presence, until nothing was missed
    /// while it was read.
    pub(super) async fn renew_roll(&self, room: &RoomName) {
        let channel = self.names.channel(room);
        loop {
            let Some(number) = self.table().begin_reading(&channel) else { return };
            // Else nobody would read the roll again after a reading that was cancelled. It locks
            // the table when it is dropped, so it has to outlive the guard below.
            let reading = RollReading { node: self, channel: &channel, number };
            let read = self.read_entries(room).await;
            let mut table = self.table();
            let Some(followed) = table.get(&channel).filter(|it| it.is_read_by(number)) else {
                // Presence does not want it any more, or wants it anew.
                return;
            };
            let previous = std::mem::replace(&mut followed.roll, Roll::Stale(Before::Unread));
            let Roll::Reading { missed, mut again, before, .. } = previous else {
                followed.roll = previous;
                return;
            };
            let Ok((entries, version)) = read else {
                followed.roll = Roll::Stale(before);
                drop(table);
                self.pass_on(&channel, cluster::Heard::Unread { room: room.clone() });
                return;
            };
            let now = Instant::now();
            if lost_data(before, version) {
                // The nodes fill it again, each with what it knows.
                followed.refilled_at = Some(now + self.lease);
            }
            let whole = followed.refilled_at.is_none_or(|at| now >= at);
            followed.roll = Roll::At(version);
            let mut next = Vec::new();
            for told in missed {
                let (told, behind) = followed.told(told);
                again |= behind;
                next.extend(told);
            }
            drop(table);
            drop(reading);
            let roll = cluster::Roll { entries, whole };
            self.pass_on(&channel, cluster::Heard::Roll { room: room.clone(), roll });
            for told in next.into_iter().filter(|told| !self.is_own(&told.life)) {
                let (room, life, entries) = (room.clone(), told.life, told.entries);
                self.pass_on(&channel, cluster::Heard::Changed { room, life, entries });
            }
            if !again {
                return;
            }
        }
    }
}

/// A roll that is being read. Dropped before its result is in the table, by a future that
/// was cancelled or a panic, it leaves the roll to be read again.
struct RollReading<'a> {
    node: &'a Node,
    channel: &'a str,
    number: u64,
}

impl Drop for RollReading<'_> {
    fn drop(&mut self) {
        if let Some(followed) = self.node.table().get(self.channel) {
            followed.abandon_reading(self.number);
        }
    }
}

/// Whether a roll is not the one that was known, grown on.
fn lost_data(before: Before, now: Option<RollVersion>) -> bool {
    match (before, now) {
        (Before::Unread | Before::Read(None), _) => false,
        (Before::Read(Some(before)), Some(now)) => {
            before.epoch != now.epoch || now.version < before.version
        }
        (Before::Read(Some(_)), None) => true,
    }
}
