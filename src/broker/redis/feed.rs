//! The connections over which a node hears what is published: one to each
//! master, as each hands on the channels that it has.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use log::{Level, debug, log, warn};
use redis::{PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection, pipe};

use super::{
    bridge::{Beat, FeedFailed},
    node::Node,
    servers::{Master, Masters},
    table::{Roll, Wish},
};

/// So many channels are subscribed by one command.
const CHANNELS: usize = 256;

/// So many names are tried to find one that belongs to a master.
const NAMES: usize = 100_000;

/// All feeds of a node.
pub(super) struct Feeds {
    masters: Masters,
    /// In the order of the masters; none to one that cannot be reached.
    feeds: Vec<Option<Feed>>,
}

/// A connection to one master.
#[derive(Clone)]
struct Feed {
    connection: MultiplexedConnection,
    ear: Arc<Ear>,
}

/// What hears on one connection.
struct Ear {
    node: Weak<Node>,
    master: Master,
    alive: AtomicBool,
    /// Where the nodes are told that there is an order.
    nodes: String,
    /// The channel on which this node speaks to itself.
    probe: String,
    /// Since when it was spoken on and not heard.
    unheard: Mutex<Option<Instant>>,
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
            // Not asked for, where somebody wants to hear of the channel: its slot
            // has another master now.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..]) => {
                let moved = str::from_utf8(channel).is_ok_and(|it| node.table().moved(it));
                if moved && let Some(bridge) = node.bridge.get() {
                    bridge.do_send(FeedFailed);
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

impl Feed {
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
            node: Arc::downgrade(node),
            master: master.clone(),
            alive: AtomicBool::new(true),
            nodes: node.names.nodes(),
            probe: probe.unwrap_or_default(),
            unheard: Mutex::default(),
        });
        let listening = ear.clone();
        let connection = master.listen(Arc::new(move |push| listening.hear(&push))).await?;
        let feed = Self { connection, ear };
        let own = [&feed.ear.probe, &feed.ear.nodes];
        let own = own.into_iter().filter(|name| masters.of(name) == Some(number));
        let own: Vec<Arc<str>> = own.map(|name| Arc::from(name.as_str())).collect();
        feed.command("SUBSCRIBE", &own, masters.is_cluster()).await?;
        Ok(feed)
    }

    async fn command(&self, verb: &str, channels: &[Arc<str>], sharded: bool) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        for some in channels.chunks(CHANNELS) {
            if sharded {
                // One channel each: a command with several may speak of several slots.
                let mut commands = pipe();
                for channel in some {
                    commands.cmd(&format!("S{verb}")).arg(&**channel);
                }
                commands.exec_async(&mut connection).await?;
                continue;
            }
            let names: Vec<&str> = some.iter().map(|channel| &**channel).collect();
            if verb == "SUBSCRIBE" {
                connection.subscribe(names).await?;
            } else {
                connection.unsubscribe(names).await?;
            }
        }
        Ok(())
    }
}

impl Feeds {
    /// Connects to all masters, but for those to which an earlier connection
    /// works, and subscribes what is to be heard and is not. Answers the channels
    /// that were subscribed now, on which something may have been missed.
    pub(super) async fn make(
        node: &Arc<Node>,
        masters: Masters,
        earlier: Option<&Self>,
        loud: bool,
    ) -> (Self, Vec<Arc<str>>) {
        let mut feeds = Vec::new();
        let mut kept = Vec::new();
        for (number, master) in masters.masters.iter().enumerate() {
            let works = earlier.into_iter().flat_map(|it| it.feeds.iter().flatten());
            let works = works.clone().find(|it| it.ear.is_alive() && it.ear.master.is(master));
            kept.push(works.is_some());
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
        let is_kept = |channel: &str| {
            masters.of(channel).and_then(|it| kept.get(it)).copied().unwrap_or(false)
        };
        let wishes = node.table().all_wishes(is_kept);
        let feeds = Self { masters, feeds };
        for feed in earlier.into_iter().flat_map(|it| it.feeds.iter().flatten()) {
            let is_kept = |kept: &Feed| Arc::ptr_eq(&kept.ear, &feed.ear);
            if !feeds.feeds.iter().flatten().any(is_kept) {
                feed.ear.retire();
            }
        }
        let subscribed = feeds.fulfil(node, wishes).await;
        (feeds, subscribed)
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

    /// Sees to what the table wishes, for as long as it is let.
    pub(super) async fn see_to_wishes(&self, node: &Node) {
        loop {
            node.wishes.notified().await;
            let wishes = node.table().take_wishes();
            self.fulfil(node, wishes).await;
        }
    }

    /// In order, as a channel may be let go of and wanted again. Answers what was
    /// subscribed.
    async fn fulfil(&self, node: &Node, wishes: Vec<Wish>) -> Vec<Arc<str>> {
        let mut subscribed = Vec::new();
        let is_subscribe = |wish: &Wish| matches!(wish, Wish::Subscribe(_));
        for run in wishes.chunk_by(|a, b| is_subscribe(a) == is_subscribe(b)) {
            let verb =
                if run.first().is_some_and(is_subscribe) { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
            for (number, feed) in self.feeds.iter().enumerate() {
                let Some(feed) = feed.as_ref().filter(|feed| feed.ear.is_alive()) else { continue };
                let channels = run.iter().map(|wish| match wish {
                    Wish::Subscribe(channel) | Wish::Unsubscribe(channel) => channel.clone(),
                });
                let share: Vec<Arc<str>> =
                    channels.filter(|it| self.masters.of(it) == Some(number)).collect();
                if let Err(error) = feed.command(verb, &share, self.masters.is_cluster()).await {
                    warn!("subscribing failed: {error}");
                    feed.ear.fail(node);
                } else if verb == "SUBSCRIBE" {
                    note_subscribed(node, &share);
                    subscribed.extend(share);
                }
            }
        }
        subscribed
    }
}

fn note_subscribed(node: &Node, channels: &[Arc<str>]) {
    let mut table = node.table();
    table.subscribed(channels.iter().map(|channel| &**channel));
    // What was followed before its channel was subscribed is read now.
    for channel in channels {
        if let Some(followed) = table.get(channel)
            && matches!(followed.roll, Roll::Stale(_))
        {
            node.read_roll(&followed.room);
        }
    }
}
