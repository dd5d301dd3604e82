//! What the bridge and those who use it share: the connection for commands, the
//! table of rooms, this node's life.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix::prelude::*;
use log::{debug, warn};
use redis::{
    ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, cmd, pipe,
};
use tokio::sync::Notify;

use super::{
    bridge::{LinkFailed, RedisBridge},
    entry::{self, Heard},
    followed::{Before, Roll},
    hooking::Hooking,
    life::OwnLife,
    names::Names,
    orders::{Named, OrderMemory},
    perhaps,
    posts::Posts,
    reconciler::{ReconcileError, SubscribingConnection, reconcile},
    script::Call,
    servers::{Connection, Master, Masters, Servers},
    table::Table,
};
use crate::{
    backend::Hooks,
    broker::{Delivery, Unavailable, room_settings},
    cluster::{self, Listeners, Order},
    config::{self, RoomSettings, Settings},
    metrics::Publishing,
    model::{Epoch, Position, RoomName},
};

/// How long a write may take to reach its replicas, in milliseconds.
const REPLICATION: u64 = 1000;

/// All that belongs to one node.
pub(super) struct Node {
    pub(super) servers: Servers,
    pub(super) names: Names,
    pub(super) lease: Duration,
    rooms: config::Rooms,
    inbox: config::Inbox,
    link: RwLock<Option<Arc<Link>>>,
    table: Mutex<Table>,
    /// Wakes the future that subscribes what the table wants.
    pub(super) wishes: Notify,
    pub(super) own: OwnLife,
    pub(super) bridge: OnceLock<Addr<RedisBridge>>,
    pub(super) listeners: OnceLock<Listeners>,
    orders: Mutex<OrderMemory>,
    /// The addresses of this node's connections for commands, as Redis sees them.
    connections: Mutex<Vec<String>>,
    pub(super) condition: Condition,
    pub(super) publishing: Publishing,
    pub(super) posts: Posts,
    /// Who is told of what, where anybody is.
    pub(super) hooking: Option<Hooking>,
    /// On how many replicas a write has to be, as far as there are so many.
    wanted_replicas: usize,
}

/// The connections for commands.
pub(super) struct Link {
    /// By which try they were made.
    pub(super) made: u64,
    /// For all that is answered at once.
    pub(super) commands: Connection,
    /// For what waits for replicas, and so makes wait what comes behind it.
    pub(super) writes: Connection,
    /// Where they lead to, unless that is a cluster.
    pub(super) master: Option<Master>,
}

/// How the bridge is; written by it alone.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Whether commands can be given.
    pub(super) linked: AtomicBool,
    /// Whether the channels are subscribed, and heard.
    pub(super) fed: AtomicBool,
    /// Whether Redis takes no writes, for want of memory.
    pub(super) full: AtomicBool,
    /// Whether Redis refused a command since this node last beat.
    pub(super) refused: AtomicBool,
    /// How long the last probe took, in microseconds.
    pub(super) probe_lag: AtomicU64,
    /// How many replicas the master has now.
    pub(super) replicas: AtomicUsize,
    /// How many nodes beat, this one among them.
    pub(super) nodes: AtomicUsize,
    /// How often the connection for commands was made anew.
    pub(super) reconnects: AtomicU64,
    /// How often the channels were subscribed anew.
    pub(super) resubscriptions: AtomicU64,
    /// How often that was because a probe was not heard.
    pub(super) deaf: AtomicU64,
    /// Channels that this node took for subscribed and Redis did not have.
    pub(super) lost_repairs: AtomicU64,
    /// Channels that Redis had for this node and nobody wanted.
    pub(super) unwanted_repairs: AtomicU64,
    /// Whether a repair of subscriptions was logged.
    repair_logged: AtomicBool,
}

impl Node {
    pub(super) fn new(
        settings: &Settings,
        servers: Servers,
        name: Arc<str>,
        hooks: Option<Arc<Hooks>>,
    ) -> Self {
        Self {
            servers,
            names: Names::new(&settings.broker.prefix),
            lease: settings.presence.lease,
            rooms: settings.rooms.clone(),
            inbox: settings.inbox.clone(),
            link: RwLock::default(),
            table: Mutex::default(),
            wishes: Notify::new(),
            own: OwnLife::new(name),
            bridge: OnceLock::new(),
            listeners: OnceLock::new(),
            orders: Mutex::default(),
            connections: Mutex::default(),
            condition: Condition::default(),
            publishing: Publishing::default(),
            posts: Posts::default(),
            hooking: hooks.map(Hooking::new),
            wanted_replicas: settings.broker.replicas,
        }
    }

    pub(super) fn settings(&self, room: &RoomName) -> RoomSettings {
        room_settings(&self.rooms, &self.inbox, room)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends over a connection what the table says that it lacks.
    pub(super) async fn reconcile<C: SubscribingConnection>(
        &self,
        connection: &C,
    ) -> Result<(), ReconcileError<C::Error>> {
        reconcile(&self.table, connection).await
    }

    /// Logs a repair of subscriptions: the first as a warning, as the metric counts them all.
    pub(super) fn warn_of_repair(&self, what: std::fmt::Arguments<'_>) {
        if self.condition.repair_logged.swap(true, Ordering::Relaxed) {
            debug!("{what}");
        } else {
            warn!("{what}");
        }
    }

    pub(super) fn set_link(&self, link: Option<Link>) {
        self.condition.linked.store(link.is_some(), Ordering::Release);
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link.map(Arc::new);
    }

    fn link(&self) -> Result<Arc<Link>, Unavailable> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        link.clone().ok_or(Unavailable::Unreachable)
    }

    /// Has Redis let go of the connections before these. A server that stood
    /// still may have commands of theirs that it has not read: carried out after
    /// what comes over the new ones, they would undo it.
    pub(super) async fn fence(
        &self,
        commands: &mut Connection,
        writes: &mut Connection,
    ) -> RedisResult<()> {
        let lock = || self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let former = lock().clone();
        for address in former {
            let mut kill = cmd("CLIENT");
            kill.arg("KILL").arg("ADDR").arg(address);
            match commands.query::<u64>(&kill).await {
                Err(error) if error.is_io_error() => return Err(error),
                Err(error) => warn!("an earlier connection cannot be ended: {error}"),
                Ok(_) => {}
            }
        }
        let mut own = Vec::new();
        for connection in [commands, writes] {
            match connection.query::<String>(cmd("CLIENT").arg("INFO")).await {
                Err(error) if error.is_io_error() => return Err(error),
                Err(error) => warn!("a connection cannot be told from others: {error}"),
                Ok(info) => own.extend(
                    info.split(' ').find_map(|part| Some(part.strip_prefix("addr=")?.to_owned())),
                ),
            }
        }
        *lock() = own;
        Ok(())
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(&self, call: Call) -> Result<T, Unavailable> {
        let link = self.link()?;
        let mut commands = link.commands.clone();
        let answer = match commands.query(call.by_hash()).await {
            Err(error) if is_unknown(&error) => commands.query(&call.in_full()).await,
            answer => answer,
        };
        answer.map_err(|error| self.failed(link.made, &error)).and_then(perhaps::read)
    }

    /// Runs a script whose effect is to be on replicas before it is answered.
    pub(super) async fn run_safely<T: FromRedisValue>(&self, call: Call) -> Result<T, Unavailable> {
        let wanted = self.wanted_replicas.min(self.condition.replicas.load(Ordering::Relaxed));
        let link = self.link()?;
        let Connection::Single(writes) = &link.writes else { return self.run(call).await };
        if wanted == 0 {
            return self.run(call).await;
        }
        let mut writes = writes.clone();
        // On one connection, as WAIT speaks of the writes of its own.
        let mut both = pipe();
        let mut wait = cmd("WAIT");
        wait.arg(wanted).arg(REPLICATION);
        both.add_command(call.by_hash().clone()).add_command(wait.clone());
        let mut answer = both.query_async::<(Value, usize)>(&mut writes).await;
        if answer.as_ref().is_err_and(is_unknown) {
            let mut both = pipe();
            both.add_command(call.in_full()).add_command(wait);
            answer = both.query_async(&mut writes).await;
        }
        let (value, replicas) = answer.map_err(|error| self.failed(link.made, &error))?;
        if replicas < wanted {
            return Err(Unavailable::Unreplicated);
        }
        perhaps::read(value)
    }

    /// Runs a command.
    pub(super) async fn command<T: FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, Unavailable> {
        let link = self.link()?;
        let answer = link.commands.clone().query(command).await;
        answer.map_err(|error| self.failed(link.made, &error)).and_then(perhaps::read)
    }

    /// Runs a command on one of the masters.
    pub(super) async fn command_at<T: FromRedisValue>(
        &self,
        master: &Master,
        command: &redis::Cmd,
    ) -> Result<T, Unavailable> {
        let link = self.link()?;
        let answer = link.commands.clone().query_at(master, command).await;
        answer.map_err(|error| self.failed(link.made, &error)).and_then(perhaps::read)
    }

    /// The master that the connection made by this try leads to.
    pub(super) fn master(&self, made: u64) -> Option<Master> {
        self.link().ok().filter(|link| link.made == made)?.master.clone()
    }

    /// All masters there are.
    pub(super) async fn masters(&self) -> Result<Masters, Unavailable> {
        let link = self.link()?;
        let mut commands = link.commands.clone();
        let masters = self.servers.masters(&mut commands, link.master.as_ref()).await;
        masters.map_err(|error| self.failed(link.made, &error))
    }

    /// What a failure means; where it is the connection's, the bridge is told.
    fn failed(&self, made: u64, error: &RedisError) -> Unavailable {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
        let moved = matches!(
            error.kind(),
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly)
        );
        if error.code() == Some("OOM") {
            return Unavailable::Full;
        }
        if error.is_unrecoverable_error() || error.is_io_error() || moved {
            debug!("a command to Redis failed: {error}");
            self.condition.refused.store(false, Ordering::Release);
            let timeout = error.is_timeout();
            if let Some(bridge) = self.bridge.get().filter(|_| !timeout) {
                bridge.do_send(LinkFailed { made });
            }
        } else if !self.condition.refused.swap(true, Ordering::AcqRel) {
            warn!("Redis refused a command: {error}");
        } else {
            debug!("Redis refused another command: {error}");
        }
        Unavailable::Unreachable
    }

    /// The three arguments that scripts of a log begin with: a fresh epoch, and
    /// the farthest place known.
    pub(super) fn known(&self, channel: &str) -> (String, String, u64) {
        let end = self.table().get(channel).and_then(|followed| followed.end);
        let (epoch, seq) =
            end.map_or_else(Default::default, |Position { epoch, seq }| (epoch.to_string(), seq));
        (Epoch::random().to_string(), epoch, seq)
    }

    /// Something came over a room's channel.
    pub(super) fn heard(&self, channel: &str, payload: &[u8]) {
        let mut table = self.table();
        let Some(followed) = table.heard(channel, Instant::now()) else { return };
        match entry::heard(&followed.room, payload) {
            Some(Heard::Published(entry)) => {
                followed.reached(Position { epoch: entry.epoch, seq: entry.seq });
                let subscribers = followed.subscribers.clone();
                drop(table);
                let delivery = Delivery::Published(Arc::new(entry));
                for subscriber in subscribers.iter() {
                    subscriber.deliver(delivery.clone());
                }
            }
            Some(Heard::Transient(transient)) => {
                let (subscribers, room) = (followed.subscribers.clone(), followed.room.clone());
                drop(table);
                let delivery = Delivery::Transient(room, Arc::new(transient));
                for subscriber in subscribers.iter() {
                    subscriber.deliver(delivery.clone());
                }
            }
            Some(Heard::Told(told)) => {
                let room = followed.room.clone();
                let (next, behind) = followed.told(told);
                drop(table);
                if let Some(told) = next
                    && !self.is_own(&told.life)
                {
                    let (life, entries) = (told.life, told.entries);
                    self.pass_on(channel, cluster::Heard::Changed { room, life, entries });
                } else if behind {
                    self.read_roll(&room);
                }
            }
            None => warn!("something that is not understood came over the channel {channel:?}"),
        }
    }

    pub(super) fn orders(&self) -> MutexGuard<'_, OrderMemory> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes orders on, each name once, in their order. Under the lock, so that orders of
    /// two callers do not overtake each other.
    pub(super) fn obey(&self, orders: impl IntoIterator<Item = Named>) {
        let mut memory = self.orders();
        for Named { name, order } in orders {
            if memory.is_new(&name) {
                memory.push(order);
            }
        }
        self.pass_orders_on(memory);
    }

    /// Passes revocations on that were read from Redis and not from the stream. To obey
    /// one twice changes nothing.
    pub(super) fn obey_standing(&self, orders: impl IntoIterator<Item = Order>) {
        let mut memory = self.orders();
        orders.into_iter().for_each(|order| memory.push(order));
        self.pass_orders_on(memory);
    }

    fn pass_orders_on(&self, mut memory: MutexGuard<'_, OrderMemory>) {
        if let Some(listeners) = self.listeners.get() {
            for order in memory.take_unheard() {
                (listeners.orders)(order);
            }
        }
    }

    /// Tells presence. Where it cannot take more, the room is read again later.
    pub(super) fn pass_on(&self, channel: &str, heard: cluster::Heard) {
        let Some(listeners) = self.listeners.get() else { return };
        if listeners.presence.try_send(heard).is_err()
            && let Some(followed) = self.table().get(channel)
            && let Roll::At(version) = followed.roll
        {
            followed.roll = Roll::Stale(Before::Read(version));
        }
    }

    /// Has the roll of a room read.
    pub(super) fn read_roll(&self, room: &RoomName) {
        if let Some(bridge) = self.bridge.get() {
            bridge.do_send(super::bridge::ReadRoll { room: room.clone() });
        }
    }
}

/// Whether Redis does not know the script.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        || error.code() == Some("NOSCRIPT")
        || error.to_string().contains("NOSCRIPT")
}
