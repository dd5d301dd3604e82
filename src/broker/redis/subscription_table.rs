//! Which channels are wanted, and which of them a connection to Redis holds.
//!
//! ```text
//!  want, unwant             confirm, use_connections
//!       │                              │
//!       ▼                              ▼
//!   `wanted` ───── the difference ──── `held`
//!                        │
//!                        ▼
//!         SUBSCRIBE, UNSUBSCRIBE (`reconciler`)
//! ```
//!
//! No list of commands exists that could lose one. `reconciler` derives each command from the
//! difference, and only a confirmation by Redis changes what counts as held. A command that
//! fails, or whose future is dropped halfway, leaves the difference where it was, and the
//! next call sends the command again; both commands are idempotent.
//!
//! Invariants:
//! - A channel is in one of the two indexes exactly when `Channel::command` names a command.
//! - An unwanted channel stays in the table until Redis confirmed that it is not subscribed.
//! - Only one `reconcile` runs for a connection at a time.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    mem,
    sync::Arc,
};

/// Identifies a connection; never used twice in one process.
pub(super) type ConnectionId = u64;

/// Is told when a channel is subscribed. It is dropped instead when nobody wants the channel
/// any more.
pub(super) trait Waiter {
    /// Whether nobody listens to the answer any more.
    fn is_closed(&self) -> bool;

    fn answer(self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

/// What a confirmation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// Nothing new.
    Known,
    /// The channel is subscribed from now on.
    Subscribed,
    /// The channel was taken for subscribed and was not; now it is.
    Restored,
    /// The channel is wanted and no longer subscribed, which nobody asked for.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// This command was the last one sent, and Redis has not confirmed it. It may have been
    /// carried out, or may still be.
    Sent(ConnectionId, Verb),
    By(ConnectionId),
}

struct Channel<T, W> {
    /// What is known of the channel; `None` if nobody wants it.
    wanted: Option<T>,
    held: Held,
    waiters: Vec<W>,
    /// The number of the last loss of the subscription, until the messages that were missed
    /// meanwhile are caught up with.
    missed: Option<u64>,
}

impl<T, W> Channel<T, W> {
    /// The command that would make `held` what `wanted` says.
    fn command(&self) -> Option<Verb> {
        match (&self.wanted, self.held) {
            (Some(_), Held::By(_)) | (None, Held::No) => None,
            (Some(_), _) => Some(Verb::Subscribe),
            (None, _) => Some(Verb::Unsubscribe),
        }
    }
}

/// The channels by their names. `T` is what the user of the table keeps of a wanted channel.
pub(super) struct SubscriptionTable<T, W, S> {
    channels: HashMap<Arc<str>, Channel<T, W>, S>,
    to_subscribe: HashSet<Arc<str>, S>,
    to_unsubscribe: HashSet<Arc<str>, S>,
    /// The connections in use. Confirmations of others come too late to mean anything.
    connections: Vec<ConnectionId>,
    losses: u64,
}

impl<T, W, S: Default> Default for SubscriptionTable<T, W, S> {
    fn default() -> Self {
        Self {
            channels: HashMap::default(),
            to_subscribe: HashSet::default(),
            to_unsubscribe: HashSet::default(),
            connections: Vec::new(),
            losses: 0,
        }
    }
}

impl<T, W: Waiter, S: BuildHasher> SubscriptionTable<T, W, S> {
    /// Has the channel subscribed, if it is not, and gives what is known of it.
    pub(super) fn want(&mut self, channel: &Arc<str>, new: impl FnOnce() -> T) -> &mut T {
        let Self { channels, to_subscribe, to_unsubscribe, .. } = self;
        let entry = channels.entry(channel.clone()).or_insert_with(|| Channel {
            wanted: None,
            held: Held::No,
            waiters: Vec::new(),
            missed: None,
        });
        if entry.wanted.is_none() {
            to_unsubscribe.remove(channel);
            if !matches!(entry.held, Held::By(_)) {
                to_subscribe.insert(channel.clone());
            }
        }
        entry.wanted.get_or_insert_with(new)
    }

    /// Has the channel unsubscribed, and drops its waiters.
    pub(super) fn unwant(&mut self, channel: &str) {
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.wanted = None;
            entry.missed = None;
            entry.waiters = Vec::new();
            self.index(channel);
        }
    }

    /// What is known of a wanted channel.
    pub(super) fn get(&mut self, channel: &str) -> Option<&mut T> {
        self.channels.get_mut(channel)?.wanted.as_mut()
    }

    /// All wanted channels, each with whether it is subscribed.
    pub(super) fn wanted(&mut self) -> impl Iterator<Item = (&Arc<str>, bool, &mut T)> {
        self.channels.iter_mut().filter_map(|(channel, entry)| {
            let held = matches!(entry.held, Held::By(_));
            Some((channel, held, entry.wanted.as_mut()?))
        })
    }

    pub(super) fn is_held(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|entry| matches!(entry.held, Held::By(_)))
    }

    /// Whether the table has anything to do with the channel, wanted or not.
    pub(super) fn knows(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    /// Tells the waiter when the channel is subscribed. The caller wants it.
    pub(super) fn wait(&mut self, channel: &str, waiter: W) {
        let Some(entry) = self.channels.get_mut(channel).filter(|it| it.wanted.is_some()) else {
            return;
        };
        if matches!(entry.held, Held::By(_)) {
            return waiter.answer();
        }
        entry.waiters.retain(|waiter| !waiter.is_closed());
        entry.waiters.push(waiter);
    }

    /// From now on these connections are in use, and no others. `owner` names the one that a
    /// channel belongs to. What another one held, or was told, is void.
    pub(super) fn use_connections(
        &mut self,
        connections: Vec<ConnectionId>,
        owner: impl Fn(&str) -> Option<ConnectionId>,
    ) {
        self.connections = connections;
        let mut changed = Vec::new();
        for (channel, entry) in &mut self.channels {
            let (Held::By(by) | Held::Sent(by, _)) = entry.held else { continue };
            if owner(channel) == Some(by) {
                continue;
            }
            if matches!(mem::replace(&mut entry.held, Held::No), Held::By(_))
                && entry.wanted.is_some()
            {
                self.losses += 1;
                entry.missed = Some(self.losses);
            }
            changed.push(channel.clone());
        }
        for channel in changed {
            self.index(&channel);
        }
    }

    /// The channels of the next command of this kind over a connection; none if there is
    /// nothing to be sent. They stay in the index until Redis confirms them, so dropping the
    /// batch at any moment loses nothing.
    pub(super) fn next_batch(
        &mut self,
        connection: ConnectionId,
        verb: Verb,
        limit: usize,
        owns: impl Fn(&str) -> bool,
    ) -> Vec<Arc<str>> {
        let index = match verb {
            Verb::Subscribe => &self.to_subscribe,
            Verb::Unsubscribe => &self.to_unsubscribe,
        };
        let batch: Vec<Arc<str>> =
            index.iter().filter(|channel| owns(channel)).take(limit).cloned().collect();
        for channel in &batch {
            if let Some(entry) = self.channels.get_mut(channel) {
                entry.held = Held::Sent(connection, verb);
            }
        }
        batch
    }

    /// Whether Redis confirmed all of a batch.
    pub(super) fn is_confirmed(&self, by: ConnectionId, verb: Verb, batch: &[Arc<str>]) -> bool {
        let is_open =
            |channel| self.channels.get(channel).is_some_and(|it| it.held == Held::Sent(by, verb));
        !batch.iter().any(is_open)
    }

    /// Redis says that a channel is (not) subscribed from now on. `added` is whether the
    /// connection has one channel more than before.
    pub(super) fn confirm(
        &mut self,
        by: ConnectionId,
        verb: Verb,
        channel: &str,
        added: bool,
    ) -> Confirmation {
        if !self.connections.contains(&by) {
            return Confirmation::Known;
        }
        let Some(entry) = self.channels.get_mut(channel) else {
            if verb == Verb::Subscribe {
                self.take_in_stray(by, channel);
            }
            return Confirmation::Known;
        };
        let means = match (entry.held, verb) {
            // It belongs to an earlier command whose future was dropped. The confirmation of
            // the last one is still to come, and until then nobody knows.
            (Held::Sent(_, last), _) if last != verb => return Confirmation::Known,
            (Held::Sent(on, _) | Held::By(on), _) if on != by => return Confirmation::Known,
            (Held::By(_), Verb::Subscribe) if !added => return Confirmation::Known,
            (Held::By(_), Verb::Subscribe) => Confirmation::Restored,
            (Held::By(_), Verb::Unsubscribe) if entry.wanted.is_some() => Confirmation::Lost,
            (_, Verb::Subscribe) => Confirmation::Subscribed,
            (_, Verb::Unsubscribe) => Confirmation::Known,
        };
        entry.held = match verb {
            Verb::Subscribe => Held::By(by),
            Verb::Unsubscribe => Held::No,
        };
        if matches!(means, Confirmation::Restored | Confirmation::Lost) {
            self.losses += 1;
            entry.missed = Some(self.losses);
        }
        if verb == Verb::Subscribe {
            entry.waiters.drain(..).for_each(Waiter::answer);
        }
        self.index(channel);
        means
    }

    /// A channel is subscribed that nobody wants: it is to be unsubscribed.
    fn take_in_stray(&mut self, by: ConnectionId, channel: &str) {
        let held = Held::By(by);
        let stray = Channel { wanted: None, held, waiters: Vec::new(), missed: None };
        self.channels.insert(channel.into(), stray);
        self.index(channel);
    }

    /// Puts the channel into the index that it belongs in, after a change.
    fn index(&mut self, channel: &str) {
        let Some((name, entry)) = self.channels.get_key_value(channel) else { return };
        let name = name.clone();
        match entry.command() {
            Some(Verb::Subscribe) => {
                self.to_unsubscribe.remove(channel);
                self.to_subscribe.insert(name);
            }
            Some(Verb::Unsubscribe) => {
                self.to_subscribe.remove(channel);
                self.to_unsubscribe.insert(name);
            }
            None => {
                self.to_subscribe.remove(channel);
                self.to_unsubscribe.remove(channel);
                if entry.wanted.is_none() {
                    self.channels.remove(channel);
                }
            }
        }
    }

    /// The channels on which messages may have been missed and that are subscribed again.
    pub(super) fn missed(&self) -> Vec<Arc<str>> {
        let missed = self.channels.iter().filter(|(_, entry)| {
            entry.missed.is_some() && entry.wanted.is_some() && matches!(entry.held, Held::By(_))
        });
        missed.map(|(channel, _)| channel.clone()).collect()
    }

    /// Messages may have been missed on a channel.
    pub(super) fn miss(&mut self, channel: &str) {
        if let Some(entry) = self.channels.get_mut(channel).filter(|it| it.wanted.is_some()) {
            self.losses += 1;
            entry.missed = Some(self.losses);
        }
    }

    /// Whoever catches up takes this number first, and gives it to
    /// [`caught_up`](Self::caught_up); `None` if the channel is not subscribed, so that
    /// messages go on being missed.
    pub(super) fn catching_up(&self, channel: &str) -> Option<u64> {
        let entry = self.channels.get(channel)?;
        matches!(entry.held, Held::By(_)).then_some(entry.missed).flatten()
    }

    /// What was missed by the loss of this number, and before, is made up for.
    pub(super) fn caught_up(&mut self, channel: &str, loss: u64) {
        if let Some(entry) = self.channels.get_mut(channel).filter(|it| it.missed == Some(loss)) {
            entry.missed = None;
        }
    }

    /// The wanted channels that this connection holds.
    pub(super) fn held_by(&self, connection: ConnectionId) -> Vec<Arc<str>> {
        let held = self
            .channels
            .iter()
            .filter(|(_, entry)| entry.wanted.is_some() && entry.held == Held::By(connection));
        held.map(|(channel, _)| channel.clone()).collect()
    }

    /// Leaves of these channels those that are wanted and that the connection holds.
    pub(super) fn retain_held(&self, channels: &mut Vec<Arc<str>>, connection: ConnectionId) {
        channels.retain(|channel| {
            self.channels
                .get(channel)
                .is_some_and(|it| it.wanted.is_some() && it.held == Held::By(connection))
        });
    }

    /// How many channels the connection has by what Redis confirmed, wanted or not; `None`
    /// while commands are under way.
    pub(super) fn count_held_by(&self, connection: ConnectionId) -> Option<usize> {
        let mut count = 0;
        for entry in self.channels.values() {
            match entry.held {
                Held::By(by) if by == connection => count += 1,
                Held::Sent(by, _) if by == connection => return None,
                _ => {}
            }
        }
        Some(count)
    }

    /// Gives memory back once the table is empty.
    pub(super) fn shrink(&mut self) {
        if self.channels.is_empty() {
            self.channels.shrink_to_fit();
            self.to_subscribe.shrink_to_fit();
            self.to_unsubscribe.shrink_to_fit();
        }
    }
}
