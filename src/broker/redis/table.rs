//! Which rooms this node wants to hear of, and what it knows of each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::RandomState;
use tokio::sync::oneshot;

use super::{
    entry::{RollVersion, Told},
    subscription_table::{Confirmation, ConnectionId, SubscriptionTable, Verb, Waiter},
};
use crate::{
    broker::Subscriber,
    model::{Position, RoomName, WorkerId},
};

/// At most so many changes of a roll wait until it is read; past that it is read again.
const MISSED: usize = 1024;

/// The subscriptions to the channels of rooms.
pub(super) type Subscriptions = SubscriptionTable<Followed, oneshot::Sender<()>, RandomState>;

/// The rooms by their channels.
#[derive(Default)]
pub(super) struct Table {
    subscriptions: Subscriptions,
    /// The number of the last reading of a roll that began.
    readings: u64,
}

impl AsMut<Subscriptions> for Table {
    fn as_mut(&mut self) -> &mut Subscriptions {
        &mut self.subscriptions
    }
}

impl Waiter for oneshot::Sender<()> {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }

    fn answer(self) {
        // Whoever waited may be gone.
        let _ = self.send(());
    }
}

/// A room that somebody on this node wants to hear of, or did just now.
pub(super) struct Followed {
    pub(super) room: RoomName,
    /// The workers that have members here. Shared, as each message takes it along.
    pub(super) subscribers: Arc<Vec<Subscriber>>,
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
        /// Which reading it is: one that was overtaken leaves the roll alone.
        number: u64,
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
        if !self.is_wanted() {
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

    /// The roll is about to be read, by the reading of this number, if it is wanted and not
    /// being read.
    fn begin_reading(&mut self, number: u64) -> bool {
        let before = match self.roll {
            Roll::Unwanted => return false,
            Roll::Reading { ref mut again, .. } => {
                *again = true;
                return false;
            }
            Roll::Stale(before) => before,
            Roll::At(version) => Before::Read(version),
        };
        self.roll = Roll::Reading { number, missed: Vec::new(), again: false, before };
        true
    }

    /// Whether the roll is being read by the reading of this number.
    pub(super) fn is_read_by(&self, reading: u64) -> bool {
        matches!(self.roll, Roll::Reading { number, .. } if number == reading)
    }

    /// A reading ended without a result: the roll is to be read again.
    pub(super) fn abandon_reading(&mut self, reading: u64) {
        if let Roll::Reading { number, before, .. } = self.roll
            && number == reading
        {
            self.roll = Roll::Stale(before);
        }
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
        self.subscriptions.get(channel)
    }

    /// The room of a channel, from now on wanted.
    fn want(&mut self, channel: &Arc<str>, room: &RoomName, now: Instant) -> &mut Followed {
        let followed = self.subscriptions.want(channel, || Followed::new(room.clone(), now));
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
        let channel: Arc<str> = channel.into();
        let followed = self.want(&channel, room, now);
        let subscribers = Arc::make_mut(&mut followed.subscribers);
        subscribers.retain(|known| known.worker() != subscriber.worker());
        subscribers.push(subscriber.clone());
        if self.subscriptions.is_held(&channel) {
            return None;
        }
        let (waiter, subscribed) = oneshot::channel();
        self.subscriptions.wait(&channel, waiter);
        Some(subscribed)
    }

    /// A worker wants to hear nothing more of a room.
    pub(super) fn unsubscribe(&mut self, channel: &str, worker: WorkerId, now: Instant) {
        if let Some(followed) = self.subscriptions.get(channel) {
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
        let channel: Arc<str> = channel.into();
        let followed = self.want(&channel, room, now);
        if !matches!(followed.roll, Roll::Unwanted) {
            return None;
        }
        followed.roll = Roll::Stale(Before::Unread);
        Some(self.subscriptions.is_held(&channel))
    }

    /// Presence wants to hear nothing more of a room.
    pub(super) fn unfollow(&mut self, channel: &str, now: Instant) {
        if let Some(followed) = self.subscriptions.get(channel) {
            followed.roll = Roll::Unwanted;
            followed.let_go_if_unwanted(now);
        }
    }

    /// Redis says that a channel is (not) subscribed from now on. Answers what that means,
    /// and the room whose roll waited for the subscription, to be read now.
    pub(super) fn confirm(
        &mut self,
        by: ConnectionId,
        verb: Verb,
        channel: &str,
        added: bool,
    ) -> (Confirmation, Option<RoomName>) {
        let means = self.subscriptions.confirm(by, verb, channel, added);
        if means != Confirmation::Subscribed {
            return (means, None);
        }
        let followed = self.subscriptions.get(channel);
        let stale = followed.filter(|followed| matches!(followed.roll, Roll::Stale(_)));
        (means, stale.map(|followed| followed.room.clone()))
    }

    /// Begins to read a roll, if it is wanted and not being read. Answers the number of the
    /// reading.
    pub(super) fn begin_reading(&mut self, channel: &str) -> Option<u64> {
        let number = self.readings + 1;
        self.subscriptions.get(channel)?.begin_reading(number).then(|| {
            self.readings = number;
            number
        })
    }

    /// Forgets the rooms nobody has wanted for so long.
    pub(super) fn forget(&mut self, linger: Duration, now: Instant) {
        let over = |followed: &Followed| followed.idle_since.is_some_and(|at| now >= at + linger);
        let forgotten: Vec<Arc<str>> = self
            .subscriptions
            .wanted()
            .filter_map(|(channel, _, followed)| over(followed).then(|| channel.clone()))
            .collect();
        for channel in forgotten {
            self.subscriptions.unwant(&channel);
        }
        self.subscriptions.shrink();
    }

    /// The rooms that were not heard of for so long, which counts as asked after.
    pub(super) fn silent(&mut self, since: Duration, now: Instant) -> Vec<RoomName> {
        let wanted = self.subscriptions.wanted().map(|(_, _, followed)| followed);
        wanted
            .filter(|followed| now >= followed.heard_at + since)
            .map(|followed| {
                followed.heard_at = now;
                followed.room.clone()
            })
            .collect()
    }

    /// The rooms of which messages may have been missed, and whose channels are subscribed
    /// again.
    pub(super) fn missed(&mut self) -> Vec<RoomName> {
        let channels = self.subscriptions.missed();
        channels.iter().filter_map(|it| Some(self.get(it)?.room.clone())).collect()
    }

    /// The rooms whose roll is to be read, and nobody does.
    pub(super) fn stale(&mut self) -> Vec<RoomName> {
        let wanted = self.subscriptions.wanted();
        let stale = wanted.filter(|(_, held, it)| *held && matches!(it.roll, Roll::Stale(_)));
        stale.map(|(_, _, followed)| followed.room.clone()).collect()
    }

    /// Whether presence follows the room.
    pub(super) fn is_followed(&mut self, channel: &str) -> bool {
        self.get(channel).is_some_and(|it| !matches!(it.roll, Roll::Unwanted))
    }

    /// Something of the room was heard.
    pub(super) fn heard(&mut self, channel: &str, now: Instant) -> Option<&mut Followed> {
        let followed = self.get(channel)?;
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
        assert!(followed.begin_reading(1));
        assert!(!followed.begin_reading(2), "it is being read");
        let epoch = Epoch::random();
        for version in 0..=MISSED as u64 {
            followed.told(told(epoch, version));
        }
        let Roll::Reading { missed, again, .. } = &followed.roll else { panic!() };
        assert_eq!((missed.len(), *again), (MISSED, true));
    }

    #[test]
    fn a_reading_that_was_overtaken_leaves_the_roll_alone() {
        let mut table = Table::default();
        followed(&mut table);
        let first = table.begin_reading("c").unwrap();
        table.unfollow("c", Instant::now());
        table.follow("c".to_owned(), &room(), Instant::now());
        let second = table.begin_reading("c").unwrap();
        let followed = table.get("c").unwrap();
        assert!(!followed.is_read_by(first) && followed.is_read_by(second));
        followed.abandon_reading(first);
        assert!(followed.is_read_by(second));
        followed.abandon_reading(second);
        assert!(matches!(followed.roll, Roll::Stale(_)), "it is read again");
    }

    /// Takes what a connection is told next, and confirms it.
    fn carry_out(table: &mut Table, verb: Verb) -> Vec<Arc<str>> {
        let batch = table.subscriptions.next_batch(1, verb, 10, |_| true);
        for channel in &batch {
            table.confirm(1, verb, channel, verb == Verb::Subscribe);
        }
        batch
    }

    #[test]
    fn a_channel_is_subscribed_once_and_let_go_of_when_nobody_wants_it() {
        let mut table = Table::default();
        let now = Instant::now();
        let linger = Duration::from_secs(5);
        table.subscriptions.use_connections(vec![1], |_| Some(1));
        table.follow("c".to_owned(), &room(), now);
        table.follow("c".to_owned(), &room(), now);
        assert_eq!(carry_out(&mut table, Verb::Subscribe), [Arc::from("c")]);
        assert!(carry_out(&mut table, Verb::Subscribe).is_empty());
        table.unfollow("c", now);
        table.forget(linger, now + linger / 2);
        assert!(carry_out(&mut table, Verb::Unsubscribe).is_empty(), "it may be wanted again soon");
        table.forget(linger, now + linger);
        assert!(table.get("c").is_none());
        let lost = table.subscriptions.next_batch(1, Verb::Unsubscribe, 10, |_| true);
        assert_eq!(lost, [Arc::from("c")], "this command is lost on its way");
        assert_eq!(carry_out(&mut table, Verb::Unsubscribe), [Arc::from("c")]);
        assert!(!table.subscriptions.knows("c"));
    }

    #[test]
    fn what_a_lost_connection_held_is_subscribed_again_and_compared() {
        let mut table = Table::default();
        table.subscriptions.use_connections(vec![1], |_| Some(1));
        for channel in ["kept", "lost"] {
            table.follow(channel.to_owned(), &room(), Instant::now());
        }
        carry_out(&mut table, Verb::Subscribe);
        assert!(table.missed().is_empty(), "whoever follows a room reads it by itself");
        let owner = |channel: &str| Some(if channel == "lost" { 2 } else { 1 });
        table.subscriptions.use_connections(vec![1, 2], owner);
        let lost = |channel: &str| owner(channel) == Some(2);
        let batch = table.subscriptions.next_batch(2, Verb::Subscribe, 10, lost);
        assert_eq!(batch, [Arc::from("lost")]);
        assert!(table.missed().is_empty(), "messages go on being missed");
        table.confirm(2, Verb::Subscribe, "lost", true);
        assert_eq!(table.missed().len(), 1);
        let loss = table.subscriptions.catching_up("lost").unwrap();
        // Redis did not have it after all, which its count of channels tells.
        let (means, _) = table.confirm(2, Verb::Subscribe, "lost", true);
        assert_eq!(means, Confirmation::Restored);
        table.subscriptions.caught_up("lost", loss);
        assert_eq!(table.missed().len(), 1, "it was lost again meanwhile");
    }
}
