//! The connections over which a node hears what is published: one to each
//! master, as each hands on the channels that it has.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use log::{Level, debug, log, warn};
use redis::{PushInfo, PushKind, RedisError, RedisResult, Value, aio::MultiplexedConnection, pipe};

use super::{
    bridge::{Beat, FeedFailed},
    node::Node,
    reconciler::{BATCH_CHANNELS, ReconcileError, SubscribingConnection},
    servers::{Master, Masters},
    subscription_table::{Confirmation, ConnectionId, Verb},
};

/// So many names are tried to find one that belongs to a master.
const NAMES: usize = 100_000;

/// The last number that a connection was given.
static LAST_CONNECTION: AtomicU64 = AtomicU64::new(0);

/// All feeds of a node.
pub(super) struct Feeds {
    masters: Masters,
    /// In the order of the masters; none to one that cannot be reached.
    feeds: Vec<Option<Feed>>,
}

/// A connection to one master.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) connection: MultiplexedConnection,
    ear: Arc<Ear>,
}

/// What hears on one connection.
struct Ear {
    id: ConnectionId,
    node: Weak<Node>,
    master: Master,
    alive: AtomicBool,
    /// Where the nodes are told that there is an order.
    nodes: String,
    /// The channel on which this node speaks to itself.
    probe: String,
    /// Since when it was spoken on and not heard.
    unheard: Mutex<Option<Instant>>,
    /// How many channels Redis says that the connection has, with its last confirmation.
    channel_count: AtomicI64,
}

impl Ear {
    fn unheard(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// The connection is of no use any more; whether it was until now.
    fn retire(&self) -> bool {
        self.alive.swap(false, Ordering::AcqRel)
    }

    /// The connection failed.
    fn fail(&self, node: &Node) {
        if self.retire()
            && let Some(bridge) = node.bridge.get()
        {
            bridge.do_send(FeedFailed);
        }
    }

    fn hear(&self, push: &PushInfo) {
        let Some(node) = self.node.upgrade() else { return };
        match (&push.kind, push.data.as_slice()) {
            (
                PushKind::Message | PushKind::SMessage,
                [Value::BulkString(channel), Value::BulkString(payload)],
            ) => {
                let Ok(channel) = str::from_utf8(channel) else { return };
                if channel == self.nodes {
                    if node.hear_of_posts(payload) {
                        return;
                    }
                    if let Some(bridge) = node.bridge.get() {
                        bridge.do_send(Beat);
                    }
                } else if channel == self.probe {
                    if let Some(since) = self.unheard().take() {
                        let lag = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                        node.condition.probe_lag.store(lag, Ordering::Relaxed);
                    }
                } else {
                    node.heard(channel, payload);
                }
            }
            (
                kind @ (PushKind::Subscribe
                | PushKind::SSubscribe
                | PushKind::Unsubscribe
                | PushKind::SUnsubscribe),
                [Value::BulkString(channel), Value::Int(count)],
            ) => {
                let verb = match kind {
                    PushKind::Subscribe | PushKind::SSubscribe => Verb::Subscribe,
                    _ => Verb::Unsubscribe,
                };
                let before = self.channel_count.swap(*count, Ordering::Relaxed);
                if let Ok(channel) = str::from_utf8(channel) {
                    self.confirm(&node, verb, channel, count - before);
                }
            }
            (PushKind::Disconnection, _) => {
                debug!("a subscribing connection ended");
                self.fail(&node);
            }
            _ => {}
        }
    }
}

impl Ear {
    fn is_own_channel(&self, channel: &str) -> bool {
        channel == self.nodes || channel == self.probe
    }

    /// Redis confirmed that a channel is (not) subscribed. `gained` is how many channels more
    /// the connection has.
    fn confirm(&self, node: &Node, verb: Verb, channel: &str, gained: i64) {
        if self.is_own_channel(channel) || !self.is_alive() {
            return;
        }
        let mut table = node.table();
        let unwanted = verb == Verb::Unsubscribe && gained < 0 && !table.as_mut().knows(channel);
        let (means, to_read) = table.confirm(self.id, verb, channel, gained > 0);
        drop(table);
        if unwanted {
            node.condition.unwanted_repairs.fetch_add(1, Ordering::Relaxed);
        }
        match means {
            Confirmation::Known | Confirmation::Subscribed => {}
            Confirmation::Restored => {
                node.condition.lost_repairs.fetch_add(1, Ordering::Relaxed);
            }
            // The channel's slot has another master now.
            Confirmation::Lost => {
                if let Some(bridge) = node.bridge.get() {
                    bridge.do_send(FeedFailed);
                }
            }
        }
        // A room that was followed before its channel was subscribed is read now.
        if let Some(room) = to_read {
            node.read_roll(&room);
        }
    }
}

/// A connection to the master that owns a channel, as one that subscribes.
pub(super) struct OwnedFeed<'a> {
    pub(super) feed: &'a Feed,
    pub(super) masters: &'a Masters,
    pub(super) number: usize,
}

impl SubscribingConnection for OwnedFeed<'_> {
    type Error = RedisError;

    fn id(&self) -> ConnectionId {
        self.feed.ear.id
    }

    fn owns(&self, channel: &str) -> bool {
        self.masters.of(channel) == Some(self.number)
    }

    async fn command(&self, verb: Verb, channels: &[Arc<str>]) -> RedisResult<()> {
        self.feed.command(verb, channels, self.masters.is_cluster()).await
    }
}

impl Feed {
    /// The connection failed.
    pub(super) fn fail(&self, node: &Node) {
        self.ear.fail(node);
    }

    /// How many channels Redis says that the connection has, those of the node itself left
    /// out.
    pub(super) fn room_channel_count(&self, masters: &Masters, number: usize) -> Option<usize> {
        let own = self.own_channels(masters, number).len();
        usize::try_from(self.ear.channel_count.load(Ordering::Relaxed)).ok()?.checked_sub(own)
    }

    /// The channels that concern the node itself.
    fn own_channels(&self, masters: &Masters, number: usize) -> Vec<Arc<str>> {
        let own = [&self.ear.probe, &self.ear.nodes].into_iter();
        let own = own.filter(|name| masters.of(name) == Some(number));
        own.map(|name| Arc::from(name.as_str())).collect()
    }

    /// Connects to a master and listens to what concerns the node itself.
    async fn make(
        node: &Arc<Node>,
        masters: &Masters,
        number: usize,
        master: &Master,
    ) -> RedisResult<Self> {
        let life = node.life();
        let probe = (0..NAMES)
            .map(|name| node.names.probe(&life, name))
            .find(|channel| masters.of(channel) == Some(number));
        let ear = Arc::new(Ear {
            id: LAST_CONNECTION.fetch_add(1, Ordering::Relaxed) + 1,
            node: Arc::downgrade(node),
            master: master.clone(),
            alive: AtomicBool::new(true),
            nodes: node.names.nodes(),
            probe: probe.unwrap_or_default(),
            unheard: Mutex::default(),
            channel_count: AtomicI64::new(0),
        });
        let listening = ear.clone();
        let connection = master.listen(Arc::new(move |push| listening.hear(&push))).await?;
        let feed = Self { connection, ear };
        let own = feed.own_channels(masters, number);
        feed.command(Verb::Subscribe, &own, masters.is_cluster()).await?;
        Ok(feed)
    }

    pub(super) async fn command(
        &self,
        verb: Verb,
        channels: &[Arc<str>],
        sharded: bool,
    ) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        for some in channels.chunks(BATCH_CHANNELS) {
            if sharded {
                // One channel each: a command with several may speak of several slots.
                let mut commands = pipe();
                for channel in some {
                    let verb = match verb {
                        Verb::Subscribe => "SSUBSCRIBE",
                        Verb::Unsubscribe => "SUNSUBSCRIBE",
                    };
                    commands.cmd(verb).arg(&**channel);
                }
                commands.exec_async(&mut connection).await?;
                continue;
            }
            let names: Vec<&str> = some.iter().map(|channel| &**channel).collect();
            match verb {
                Verb::Subscribe => connection.subscribe(names).await?,
                Verb::Unsubscribe => connection.unsubscribe(names).await?,
            }
        }
        Ok(())
    }
}

impl Feeds {
    /// Connects to all masters, but for those to which an earlier connection works.
    pub(super) async fn make(
        node: &Arc<Node>,
        masters: Masters,
        earlier: Option<&Self>,
        loud: bool,
    ) -> Self {
        let mut feeds = Vec::new();
        for (number, master) in masters.masters.iter().enumerate() {
            let works = earlier.into_iter().flat_map(|it| it.feeds.iter().flatten());
            let works = works.clone().find(|it| it.ear.is_alive() && it.ear.master.is(master));
            feeds.push(match works {
                Some(feed) => Some(feed.clone()),
                None => match Feed::make(node, &masters, number, master).await {
                    Ok(feed) => Some(feed),
                    Err(error) => {
                        let level = if loud { Level::Warn } else { Level::Debug };
                        log!(level, "subscribing failed: {error}");
                        None
                    }
                },
            });
        }
        Self { masters, feeds }
    }

    /// From now on these are the feeds of the node, and those before them are not. Whatever
    /// runs for those has ended.
    pub(super) fn take_over(&self, node: &Node, earlier: Option<&Self>) {
        for feed in earlier.into_iter().flat_map(|it| it.feeds.iter().flatten()) {
            let is_kept = |kept: &Feed| Arc::ptr_eq(&kept.ear, &feed.ear);
            if !self.feeds.iter().flatten().any(is_kept) {
                feed.ear.retire();
            }
        }
        let ids = self.feeds.iter().flatten().map(|feed| feed.ear.id).collect();
        let owner = |channel: &str| {
            let feed = self.feeds.get(self.masters.of(channel)?)?.as_ref()?;
            Some(feed.ear.id)
        };
        node.table().as_mut().use_connections(ids, owner);
    }

    /// Whether all masters are heard.
    pub(super) fn are_whole(&self) -> bool {
        self.feeds.iter().all(|feed| feed.as_ref().is_some_and(|it| it.ear.is_alive()))
    }

    /// The channels on which this node is to hear itself: it is about to speak
    /// on them.
    pub(super) fn probes(&self) -> impl Iterator<Item = &str> {
        self.feeds.iter().flatten().map(|feed| {
            feed.ear.unheard().get_or_insert_with(Instant::now);
            feed.ear.probe.as_str()
        })
    }

    /// It could not speak on this one after all.
    pub(super) fn hush(&self, probe: &str) {
        for feed in self.feeds.iter().flatten().filter(|feed| feed.ear.probe == probe) {
            feed.ear.unheard().take();
        }
    }

    /// Gives up the connections on which the node has not heard itself for so
    /// long; whether there are any.
    pub(super) fn give_up_deaf(&self, patience: Duration) -> bool {
        let mut any = false;
        for feed in self.feeds.iter().flatten() {
            let deaf = feed.ear.unheard().is_some_and(|since| since.elapsed() >= patience);
            any |= deaf && feed.ear.retire();
        }
        any
    }

    /// The feeds that work.
    pub(super) fn alive(&self) -> impl Iterator<Item = OwnedFeed<'_>> {
        self.feeds.iter().enumerate().filter_map(|(number, feed)| {
            let feed = feed.as_ref().filter(|feed| feed.ear.is_alive())?;
            Some(OwnedFeed { feed, masters: &self.masters, number })
        })
    }

    /// Subscribes and unsubscribes until every feed that works holds what is wanted of it.
    /// One that fails is left to the bridge, which makes it anew.
    pub(super) async fn settle(&self, node: &Node) {
        join_all(self.alive().map(|owned| async move {
            if let Err(error) = node.reconcile(&owned).await {
                match error {
                    ReconcileError::Command(error) => warn!("subscribing failed: {error}"),
                    ReconcileError::Unconfirmed => {
                        warn!("subscribing failed: Redis does not confirm what it was told");
                    }
                }
                owned.feed.fail(node);
            }
        }))
        .await;
    }
}
