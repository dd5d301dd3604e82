//! Which rooms this node wants to hear of, and what it knows of each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use tokio::sync::oneshot;

use super::entry::{RollVersion, Told};
use crate::{
    broker::Subscriber,
    model::{Position, RoomName, WorkerId},
};

/// At most so many changes of a roll wait until it is read; past that it is read again.
const MISSED: usize = 1024;

/// The rooms by their channels.
#[derive(Default)]
pub(super) struct Table {
    rooms: AHashMap<Arc<str>, Followed>,
    /// What is to be changed about the channels, in order. Not more than the
    /// rooms that come and go while one answer of Redis is awaited.
    wishes: Vec<Wish>,
}

/// What is to be done about a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Somebody wants to hear of it.
    Subscribe(Arc<str>),
    /// Nobody does any more.
    Unsubscribe(Arc<str>),
}

/// A room that somebody on this node wants to hear of, or did just now.
pub(super) struct Followed {
    pub(super) room: RoomName,
    /// The workers that have members here. Shared, as each message takes it along.
    pub(super) subscribers: Arc<Vec<Subscriber>>,
    /// Who is told when the channel is subscribed.
    waiters: Vec<oneshot::Sender<()>>,
    /// Whether its channel is.
    subscribed: bool,
    /// The farthest place that was handed on or acknowledged here.
    pub(super) end: Option<Position>,
    pub(super) roll: Roll,
    /// Until when entries that are missing from the roll may still be told again.
    pub(super) refilled_at: Option<Instant>,
    /// When it was last heard of, or asked after.
    heard_at: Instant,
    /// Since when nobody wants it.
    idle_since: Option<Instant>,
}

/// What is known of who is in a room.
pub(super) enum Roll {
    /// Nobody asks.
    Unwanted,
    /// It is being read; changes wait.
    Reading {
        /// Those that came meanwhile.
        missed: Vec<Told>,
        /// Whether some of them were let go, or more is known to be missing.
        again: bool,
        /// What was known before.
        before: Before,
    },
    /// It is to be read.
    Stale(Before),
    /// All changes up to this one were handed on; none where there were none.
    At(Option<RollVersion>),
}

/// What was known of a roll before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Unread,
    /// All up to this change.
    Read(Option<RollVersion>),
}

impl Followed {
    fn new(room: RoomName, now: Instant) -> Self {
        Self {
            room,
            subscribers: Arc::default(),
            waiters: Vec::new(),
            subscribed: false,
            end: None,
            roll: Roll::Unwanted,
            refilled_at: None,
            heard_at: now,
            idle_since: None,
        }
    }

    fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty() || !matches!(self.roll, Roll::Unwanted)
    }

    fn let_go_if_unwanted(&mut self, now: Instant) {
        if !self.is_wanted() && self.waiters.is_empty() {
            self.idle_since.get_or_insert(now);
        }
    }

    /// A place that the log is known to have reached.
    pub(super) fn reached(&mut self, place: Position) {
        let ahead = self.end.is_none_or(|end| end.epoch != place.epoch || end.seq < place.seq);
        if ahead {
            self.end = Some(place);
        }
    }

    /// The roll is about to be read, if it is wanted and not being read.
    pub(super) fn begin_reading(&mut self) -> bool {
        let before = match self.roll {
            Roll::Unwanted => return false,
            Roll::Reading { ref mut again, .. } => {
                *again = true;
                return false;
            }
            Roll::Stale(before) => before,
            Roll::At(version) => Before::Read(version),
        };
        self.roll = Roll::Reading { missed: Vec::new(), again: false, before };
        true
    }

    /// A change came; it is given back where it is the next one. Answers whether
    /// the roll has to be read.
    pub(super) fn told(&mut self, told: Told) -> (Option<Told>, bool) {
        match &mut self.roll {
            Roll::Unwanted | Roll::Stale(_) => (None, false),
            Roll::Reading { missed, again, .. } => {
                if missed.len() < MISSED {
                    missed.push(told);
                } else {
                    *again = true;
                }
                (None, false)
            }
            Roll::At(at) => {
                let known = at.filter(|at| at.epoch == told.version.epoch);
                // A roll without changes has no epoch yet.
                let known = if at.is_none() { 0 } else { known.map_or(u64::MAX, |at| at.version) };
                if known != u64::MAX && told.version.version <= known {
                    return (None, false);
                }
                let next = known.checked_add(1) == Some(told.version.version);
                if next {
                    *at = Some(told.version);
                }
                (next.then_some(told), !next)
            }
        }
    }

    /// The roll is at this change by Redis' word; whether it has to be read.
    pub(super) fn roll_is_behind(&self, head: Option<RollVersion>) -> bool {
        match &self.roll {
            Roll::Unwanted => false,
            Roll::Reading { .. } | Roll::Stale(_) => true,
            Roll::At(at) => match (at, head) {
                (Some(at), Some(head)) => at.epoch != head.epoch || at.version < head.version,
                (at, head) => at.is_some() || head.is_some(),
            },
        }
    }
}

impl Table {
    /// The room of a channel, if anybody wants it.
    pub(super) fn get(&mut self, channel: &str) -> Option<&mut Followed> {
        self.rooms.get_mut(channel)
    }

    /// The room of a channel, from now on wanted.
    fn want(&mut self, channel: String, room: &RoomName, now: Instant) -> &mut Followed {
        let channel: Arc<str> = channel.into();
        let wishes = &mut self.wishes;
        let followed = self.rooms.entry(channel.clone()).or_insert_with(|| {
            wishes.push(Wish::Subscribe(channel));
            Followed::new(room.clone(), now)
        });
        followed.idle_since = None;
        followed
    }

    /// A worker wants to hear of a room. Answers what resolves when its channel
    /// is subscribed, unless it is.
    pub(super) fn subscribe(
        &mut self,
        channel: String,
        room: &RoomName,
        subscriber: &Subscriber,
        now: Instant,
    ) -> Option<oneshot::Receiver<()>> {
        let followed = self.want(channel, room, now);
        let subscribers = Arc::make_mut(&mut followed.subscribers);
        subscribers.retain(|known| known.worker() != subscriber.worker());
        subscribers.push(subscriber.clone());
        if followed.subscribed {
            return None;
        }
        let (waiter, subscribed) = oneshot::channel();
        followed.waiters.retain(|waiter| !waiter.is_closed());
        followed.waiters.push(waiter);
        Some(subscribed)
    }

    /// A worker wants to hear nothing more of a room.
    pub(super) fn unsubscribe(&mut self, channel: &str, worker: WorkerId, now: Instant) {
        if let Some(followed) = self.rooms.get_mut(channel) {
            Arc::make_mut(&mut followed.subscribers).retain(|known| known.worker() != worker);
            followed.let_go_if_unwanted(now);
        }
    }

    /// Presence wants to hear of a room. Answers whether its channel is
    /// subscribed; none where presence has it already.
    pub(super) fn follow(
        &mut self,
        channel: String,
        room: &RoomName,
        now: Instant,
    ) -> Option<bool> {
        let followed = self.want(channel, room, now);
        if !matches!(followed.roll, Roll::Unwanted) {
            return None;
        }
        followed.roll = Roll::Stale(Before::Unread);
        Some(followed.subscribed)
    }

    /// Presence wants to hear nothing more of a room.
    pub(super) fn unfollow(&mut self, channel: &str, now: Instant) {
        if let Some(followed) = self.rooms.get_mut(channel) {
            followed.roll = Roll::Unwanted;
            followed.let_go_if_unwanted(now);
        }
    }

    /// Channels are subscribed.
    pub(super) fn subscribed<'a>(&mut self, channels: impl Iterator<Item = &'a str>) {
        for channel in channels {
            if let Some(followed) = self.rooms.get_mut(channel) {
                followed.subscribed = true;
                for waiter in followed.waiters.drain(..) {
                    // Who waited may be gone.
                    let _ = waiter.send(());
                }
            }
        }
    }

    /// A channel is not subscribed any more, though nobody asked for that; whether
    /// somebody wants to hear of it.
    pub(super) fn moved(&mut self, channel: &str) -> bool {
        let followed = self.rooms.get_mut(channel);
        followed.is_some_and(|followed| std::mem::replace(&mut followed.subscribed, false))
    }

    /// What is to be done about channels since this was last asked.
    pub(super) fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// All that is to be subscribed by new feeds: what is not, and what was by
    /// feeds that are not kept.
    pub(super) fn all_wishes(&mut self, is_kept: impl Fn(&str) -> bool) -> Vec<Wish> {
        self.wishes.clear();
        let mut wishes = Vec::new();
        for (channel, followed) in &mut self.rooms {
            followed.subscribed &= is_kept(channel);
            if !followed.subscribed {
                wishes.push(Wish::Subscribe(channel.clone()));
            }
        }
        wishes
    }

    /// Forgets the rooms nobody has wanted for so long.
    pub(super) fn forget(&mut self, linger: Duration, now: Instant) {
        let wishes = &mut self.wishes;
        self.rooms.retain(|channel, followed| {
            let stays = followed.idle_since.is_none_or(|since| now < since + linger);
            if !stays {
                wishes.push(Wish::Unsubscribe(channel.clone()));
            }
            stays
        });
        if self.rooms.is_empty() {
            self.rooms.shrink_to_fit();
        }
    }

    /// The rooms that were not heard of for so long, which counts as asked after.
    pub(super) fn silent(&mut self, since: Duration, now: Instant) -> Vec<RoomName> {
        let silent = self.rooms.values_mut().filter(|it| now >= it.heard_at + since);
        silent
            .map(|followed| {
                followed.heard_at = now;
                followed.room.clone()
            })
            .collect()
    }

    /// The rooms of these channels.
    pub(super) fn rooms(&self, channels: &[Arc<str>]) -> Vec<RoomName> {
        channels.iter().filter_map(|it| Some(self.rooms.get(it)?.room.clone())).collect()
    }

    /// The rooms whose roll is to be read, and nobody does.
    pub(super) fn stale(&self) -> Vec<RoomName> {
        let stale = |it: &&Followed| it.subscribed && matches!(it.roll, Roll::Stale(_));
        self.rooms.values().filter(stale).map(|followed| followed.room.clone()).collect()
    }

    /// Whether presence follows the room.
    pub(super) fn is_followed(&self, channel: &str) -> bool {
        self.rooms.get(channel).is_some_and(|it| !matches!(it.roll, Roll::Unwanted))
    }

    /// Something of the room was heard.
    pub(super) fn heard(&mut self, channel: &str, now: Instant) -> Option<&mut Followed> {
        let followed = self.rooms.get_mut(channel)?;
        followed.heard_at = now;
        Some(followed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, LifeId};

    fn room() -> RoomName {
        RoomName::named("r")
    }

    fn told(epoch: Epoch, version: u64) -> Told {
        let version = RollVersion { epoch, version };
        Told { version, life: LifeId::named("a"), entries: Vec::new() }
    }

    fn followed(table: &mut Table) -> &mut Followed {
        table.follow("c".to_owned(), &room(), Instant::now());
        table.get("c").unwrap()
    }

    #[test]
    fn changes_of_a_roll_are_handed_on_in_order_and_a_missing_one_is_noticed() {
        let mut table = Table::default();
        let followed = followed(&mut table);
        let epoch = Epoch::random();
        assert!(followed.told(told(epoch, 1)).0.is_none(), "it is read first");
        followed.roll = Roll::At(None);
        let mut tell = |epoch, version| {
            let (next, behind) = followed.told(told(epoch, version));
            (next.is_some(), behind)
        };
        assert_eq!(tell(epoch, 1), (true, false), "the first there ever was");
        assert_eq!(tell(epoch, 1), (false, false), "known");
        assert_eq!(tell(epoch, 2), (true, false));
        assert_eq!(tell(epoch, 4), (false, true), "the third is missing");
        assert_eq!(tell(Epoch::random(), 3), (false, true), "of another life");
    }

    #[test]
    fn what_comes_while_a_roll_is_read_waits_within_its_bound() {
        let mut table = Table::default();
        let followed = followed(&mut table);
        assert!(followed.begin_reading());
        assert!(!followed.begin_reading(), "it is being read");
        let epoch = Epoch::random();
        for version in 0..=MISSED as u64 {
            followed.told(told(epoch, version));
        }
        let Roll::Reading { missed, again, .. } = &followed.roll else { panic!() };
        assert_eq!((missed.len(), *again), (MISSED, true));
    }

    #[test]
    fn a_channel_is_wished_once_and_let_go_of_when_nobody_wants_it() {
        let mut table = Table::default();
        let now = Instant::now();
        let linger = Duration::from_secs(5);
        table.follow("c".to_owned(), &room(), now);
        table.follow("c".to_owned(), &room(), now);
        assert_eq!(table.take_wishes(), [Wish::Subscribe("c".into())]);
        table.subscribed(std::iter::once("c"));
        table.unfollow("c", now);
        table.forget(linger, now + linger / 2);
        assert!(table.take_wishes().is_empty(), "it may be wanted again soon");
        table.forget(linger, now + linger);
        assert_eq!(table.take_wishes(), [Wish::Unsubscribe("c".into())]);
        assert!(table.get("c").is_none());
    }

    #[test]
    fn new_feeds_subscribe_what_the_kept_ones_do_not_have() {
        let mut table = Table::default();
        for channel in ["kept", "lost", "moved"] {
            table.follow(channel.to_owned(), &room(), Instant::now());
        }
        table.subscribed(["kept", "lost", "moved"].into_iter());
        assert!(table.moved("moved"));
        let mut wishes = table.all_wishes(|channel| channel != "lost");
        wishes.sort_by_key(|wish| format!("{wish:?}"));
        assert_eq!(wishes, [Wish::Subscribe("lost".into()), Wish::Subscribe("moved".into())]);
    }
}
