//! Which rooms this node wants to hear of, and what it knows of each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::RandomState;
use tokio::sync::oneshot;

use super::{
    followed::{Before, Followed, Roll},
    subscription_table::{Confirmation, ConnectionId, SubscriptionTable, Verb, Waiter},
};
use crate::{
    broker::Subscriber,
    model::{RoomName, WorkerId},
};

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

    fn room() -> RoomName {
        RoomName::named("r")
    }

    fn followed(table: &mut Table) -> &mut Followed {
        table.follow("c".to_owned(), &room(), Instant::now());
        table.get("c").unwrap()
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
