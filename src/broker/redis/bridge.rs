//! The actor that keeps a node connected: the connections for commands, the
//! feeds, and what has to be done when either was lost.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::AHashSet;
use log::{info, warn};
use redis::{ErrorKind, RedisError, RedisResult, cmd};
use tokio::time::{sleep, timeout};

use super::{
    feed::Feeds,
    lives::Lives,
    node::{Link, Node},
    pulse::Pulse,
    servers::Master,
};
use crate::{
    broker::Unavailable,
    model::{RoomName, UserId},
    supervision::InjectedFault,
};

/// How long a start waits for Redis before it goes on without.
const START: Duration = Duration::from_secs(3);

/// The least and the most time between two tries to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// How long making a connection may take as a whole.
const MAKING: Duration = Duration::from_secs(3);

/// How long a room that nobody wants any more is still heard.
const LINGER: Duration = Duration::from_secs(5);

/// How long a room may be silent before it is asked where its log ends.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a probe may take. Past that the feeds are deaf, however alive they look.
const PROBE: Duration = Duration::from_millis(2500);

/// The actor that connects one node with Redis.
pub(crate) struct RedisBridge {
    pub(super) node: Arc<Node>,
    pub(super) link: State,
    /// How often something was made.
    tries: u64,
    /// How often connecting failed since it last worked.
    failures: u32,
    /// The same of the feeds.
    pub(super) feed_failures: u32,
    pub(super) feeds: Option<Arc<Feeds>>,
    pub(super) feed: State,
    /// Whether they are to be made when this node has beaten, or when they are
    /// made: before the first beat it does not know since when it has to hear orders.
    pub(super) feeds_due: bool,
    pub(super) feeder: Option<SpawnHandle>,
    pub(super) pulse: Pulse,
    pub(super) lives: Lives,
    tidied_at: Instant,
    /// Whether the rooms are being looked after.
    caring: bool,
    /// The rooms of which the deliverer has still to be told that events wait.
    pub(super) eventful: AHashSet<RoomName>,
    /// Whether it is being told of others.
    pub(super) announcing: bool,
}

/// How far something that is made is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Away,
    Making(u64),
    Made(u64),
}

/// The connection for commands that was made by this try does not work.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LinkFailed {
    pub(super) made: u64,
}

/// Something that is to be heard is not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct FeedFailed;

/// It is time to beat: the clock says so, or that there is an order.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Beat;

/// The roll of a room is to be read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReadRoll {
    pub(super) room: RoomName,
}

/// This node has so many connections of a user now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Release {
    pub(super) user: UserId,
    pub(super) open: usize,
}

/// Events of a room wait for a backend now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EventsWait {
    pub(super) room: RoomName,
}

/// This node ends.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave;

impl RedisBridge {
    /// Starts the bridge of a node on a thread of its own, and waits a moment
    /// for it to be connected.
    ///
    /// # Errors
    /// A Redis that does not let this node in.
    pub(super) async fn begin(node: &Arc<Node>) -> RedisResult<()> {
        match timeout(START, node.servers.connect()).await {
            Ok(Err(error)) if is_refusal(&error) => return Err(error),
            Ok(Err(error)) => warn!("Redis cannot be reached, it is tried on: {error}"),
            Err(_) => warn!("Redis does not answer, it is tried on"),
            Ok(Ok(_)) => {}
        }
        let bridged = node.clone();
        let bridge = Self::start_in_arbiter(&Arbiter::new().handle(), move |_| Self {
            node: bridged,
            link: State::Away,
            tries: 0,
            failures: 0,
            feed_failures: 0,
            feeds: None,
            feed: State::Away,
            feeds_due: false,
            feeder: None,
            pulse: Pulse::default(),
            lives: Lives::default(),
            tidied_at: Instant::now(),
            caring: false,
            eventful: AHashSet::new(),
            announcing: false,
        });
        if node.bridge.set(bridge.clone()).is_ok() {
            bridge.do_send(Begin);
        }
        let connected = async {
            while !node.condition.fed.load(Ordering::Acquire) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // Else it is tried on while the node is up, and not ready.
        let _ = timeout(START, connected).await;
        Ok(())
    }

    /// How often this node beats: several times within the time after which it
    /// counts as dead.
    fn period(&self) -> Duration {
        (self.node.lease / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    pub(super) fn next_try(&mut self) -> u64 {
        self.tries += 1;
        self.tries
    }

    /// Makes the connections for commands.
    fn connect(&mut self, ctx: &mut Context<Self>) {
        let made = self.next_try();
        self.link = State::Making(made);
        let node = self.node.clone();
        let connected = async move { timeout(MAKING, connect(&node)).await };
        self.run(ctx, connected, move |act, connected, ctx| {
            if act.link != State::Making(made) {
                return;
            }
            match connected {
                Some(Ok(Ok((commands, writes, master)))) => {
                    act.node.set_link(Some(Link { made, commands, writes, master }));
                    act.link = State::Made(made);
                    act.node.condition.reconnects.fetch_add(1, Ordering::Relaxed);
                    act.feeds_due = true;
                    act.beat(ctx);
                }
                failed => {
                    if act.failures == 0 {
                        match failed {
                            Some(Ok(Err(error))) => warn!("connecting to Redis failed: {error}"),
                            _ => warn!("connecting to Redis took too long"),
                        }
                    }
                    act.link = State::Away;
                    act.connect_later(ctx);
                }
            }
        });
    }

    /// The connection for commands does what it should.
    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            info!("connected to Redis");
        }
        self.node.condition.full.store(false, Ordering::Release);
        self.node.condition.refused.store(false, Ordering::Release);
    }

    /// Connects: at once, then after growing pauses.
    fn connect_later(&mut self, ctx: &mut Context<Self>) {
        if self.failures == 0 {
            self.connect(ctx);
        } else {
            ctx.run_later(backoff(self.failures), |act, ctx| {
                if act.link == State::Away {
                    act.connect(ctx);
                }
            });
        }
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn link_failed(&mut self, made: u64, ctx: &mut Context<Self>) {
        if self.link != State::Made(made) || self.node.servers.sharded() {
            return;
        }
        // Once, however often a new one does no better.
        if self.failures == 0 {
            warn!("the connection to Redis is lost");
        }
        self.node.set_link(None);
        // Without a connection nobody was seen to be alive.
        self.lives.forget();
        self.link = State::Away;
        self.node.condition.fed.store(false, Ordering::Release);
        self.connect_later(ctx);
    }

    /// A beat failed. What leads to several masters may do for the others, and
    /// mends itself; what is full is not mended by another connection.
    pub(super) fn unbeaten(&mut self, made: u64, error: Unavailable, ctx: &mut Context<Self>) {
        if error == Unavailable::Full {
            if !self.node.condition.full.swap(true, Ordering::AcqRel) {
                warn!("Redis takes no writes for want of memory");
            }
            self.lives.forget();
        } else if self.node.servers.sharded() {
            self.lives.forget();
            self.node.condition.fed.store(false, Ordering::Release);
            self.feeds_due = true;
        } else {
            self.link_failed(made, ctx);
        }
    }

    /// What is to be done from time to time.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.node.table().forget(LINGER, now);
        self.node.wishes.notify_one();
        self.beat(ctx);
        if self.feeds.as_ref().is_some_and(|feeds| feeds.give_up_deaf(PROBE)) {
            warn!("this node does not hear itself: its channels are subscribed anew");
            self.node.condition.deaf.fetch_add(1, Ordering::Relaxed);
            self.make_feeds(ctx);
        }
        if self.linked().is_none() || std::mem::replace(&mut self.caring, true) {
            return;
        }
        let mut rooms = self.node.table().silent(SILENCE, now);
        if self.node.condition.fed.load(Ordering::Acquire) {
            // Subscriptions that were found to be lost, and are there again.
            rooms.extend(self.node.table().missed());
        }
        let tidies = now >= self.tidied_at + SILENCE;
        if tidies {
            self.tidied_at = now;
        }
        let node = self.node.clone();
        let cared = async move {
            let compared = node.compare_all(rooms).await;
            node.renew_stale().await;
            if tidies {
                // What is left is tidied the next time.
                let _ = node.tidy().await;
            }
            compared
        };
        self.run(ctx, cared, |act, compared, ctx| {
            act.caring = false;
            // A room that could not be compared is compared anew.
            if compared != Some(true) {
                act.make_feeds(ctx);
            }
        });
    }

    /// The channels on which this node is to hear itself.
    pub(super) fn feeds(&self) -> Option<&Arc<Feeds>> {
        self.feeds.as_ref()
    }

    /// By which try the connection for commands was made, where there is one.
    pub(super) fn linked(&self) -> Option<u64> {
        match self.link {
            State::Made(made) => Some(made),
            State::Away | State::Making(_) => None,
        }
    }
}

/// How long to wait after so many failures.
pub(super) fn backoff(failures: u32) -> Duration {
    let (least, most) = BACKOFF;
    let grown = least.saturating_mul(1 << failures.min(8)).min(most);
    let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    grown.mul_f64(0.5 + share / 2.0)
}

/// Two connections for commands, and the master they lead to unless there are several.
async fn connect(
    node: &Node,
) -> RedisResult<(super::servers::Connection, super::servers::Connection, Option<Master>)> {
    let (mut commands, master) = node.servers.connect().await?;
    let (mut writes, _) = node.servers.connect().await?;
    // A server that is still reading its data says so now.
    commands.query::<()>(&cmd("PING")).await?;
    if master.is_some() {
        node.fence(&mut commands, &mut writes).await?;
    }
    Ok((commands, writes, master))
}

/// Whether trying on is of no use.
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::RESP3NotSupported
    ) || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"))
}

/// The first message: connect.
#[derive(Message)]
#[rtype(result = "()")]
struct Begin;

impl Actor for RedisBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.period(), |act, ctx| act.guarded(ctx, Self::tick));
    }
}

impl Handler<Begin> for RedisBridge {
    type Result = ();

    fn handle(&mut self, Begin: Begin, ctx: &mut Self::Context) {
        self.connect(ctx);
    }
}

impl Handler<LinkFailed> for RedisBridge {
    type Result = ();

    fn handle(&mut self, LinkFailed { made }: LinkFailed, ctx: &mut Self::Context) {
        self.guarded(ctx, |act, ctx| act.link_failed(made, ctx));
    }
}

impl Handler<FeedFailed> for RedisBridge {
    type Result = ();

    fn handle(&mut self, FeedFailed: FeedFailed, ctx: &mut Self::Context) {
        self.guarded(ctx, Self::make_feeds);
    }
}

impl Handler<Beat> for RedisBridge {
    type Result = ();

    fn handle(&mut self, Beat: Beat, ctx: &mut Self::Context) {
        self.guarded(ctx, Self::beat);
    }
}

impl Handler<ReadRoll> for RedisBridge {
    type Result = ();

    fn handle(&mut self, ReadRoll { room }: ReadRoll, ctx: &mut Self::Context) {
        let node = self.node.clone();
        let read = async move { node.renew_roll(&room).await };
        self.run(ctx, read, |_, _, _| ());
    }
}

impl Handler<Release> for RedisBridge {
    type Result = ();

    fn handle(&mut self, Release { user, open }: Release, ctx: &mut Self::Context) {
        let node = self.node.clone();
        let counted = async move {
            // Redis that is away has forgotten this life before it is back.
            let _ = node.count(&user, open).await;
        };
        self.run(ctx, counted, |_, _, _| ());
    }
}

impl Handler<InjectedFault> for RedisBridge {
    type Result = ();

    fn handle(&mut self, _: InjectedFault, _: &mut Self::Context) {
        InjectedFault::raise();
    }
}

impl Handler<Leave> for RedisBridge {
    type Result = ();

    fn handle(&mut self, Leave: Leave, ctx: &mut Self::Context) {
        self.node.set_link(None);
        ctx.stop();
        // The thread is the bridge's alone.
        Arbiter::current().stop();
    }
}
