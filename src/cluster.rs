//! What the nodes of a cluster tell one another besides the logs of rooms: who
//! is where, how many connections a user has, whom to send away.
//!
//! A node alone has no cluster. Where it has one, [`Cluster`] is the way to it,
//! and what the others say comes back as [`Heard`] and as [`Order`].
//!
//! A node that was silent for too long is dead to the others: they take its
//! entries away. Should it come back it begins a new [life](LifeId) under a new
//! name, so that what is taken away late was the old life's, and says all it
//! knows [anew](Heard::Anew).

mod whisper;

pub use whisper::{Connection, Whisper, Wish};

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

use crate::model::{LifeId, LinkId, RoomName, SessionId, Status, Timestamp, UserId};

/// How far clocks of nodes, of Redis and of who issues tokens may differ. A revocation is
/// kept for so long after its tokens ended: one that ends by one clock may still hold by
/// another, and a clock may be set back.
pub const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// A future of the cluster's answer.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Unreachable>>;

/// The cluster cannot be reached now. Whether what was asked was done is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other nodes cannot be reached now")]
pub struct Unreachable;

/// What one node knows of one user in one room; in the user's own inbox room,
/// what it knows of the user's connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The display name that the newest token on that node gave.
    pub name: Arc<str>,
    /// What that token gave to be shown.
    pub meta: Option<Arc<RawValue>>,
    /// When that node learnt the two: the newest of several nodes is shown.
    pub profiled_at: Timestamp,
    /// What the user said of itself, wherever; the newest of several nodes holds.
    pub said: Option<Said>,
    /// How many sessions that node has; none while a grace lasts.
    #[serde(deserialize_with = "sessions")]
    pub sessions: usize,
    /// When the first of them came.
    pub since: Timestamp,
}

/// A number of sessions that a node can have: the sum of all nodes' has to fit too.
fn sessions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::try_from(u32::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// What a user said of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Said {
    /// Its availability.
    pub status: Status,
    /// Shown in place of the token's, where there is any.
    pub meta: Option<Arc<RawValue>>,
    /// When it said so.
    pub at: Timestamp,
}

/// Who is in a room by the other nodes' word.
#[derive(Debug, Clone)]
pub struct Roll {
    /// The entries, each with the life of the node that made it.
    pub entries: Vec<(LifeId, UserId, Entry)>,
    /// Whether all entries are in it. They may not be while the nodes fill an
    /// emptied store again: who is missing then may still be there.
    pub whole: bool,
}

/// What comes from the other nodes to this node's presence. What this node said
/// itself is left out, and what comes of one room comes in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Heard {
    /// Entries of another node in a followed room; none where it has no entry
    /// of the user any more.
    Changed {
        /// The room.
        room: RoomName,
        /// Whose entries.
        life: LifeId,
        /// What they are now.
        entries: Vec<(UserId, Option<Entry>)>,
    },
    /// All entries of a followed room: the first word after
    /// [`Cluster::follow`], and again whenever something may have been missed.
    Roll {
        /// The room.
        room: RoomName,
        /// Its entries, in place of all that was known.
        roll: Roll,
    },
    /// The followed room cannot be read now; its roll comes when it can.
    Unread {
        /// The room.
        room: RoomName,
    },
    /// This node begins a new life: nothing of what it told is known any more.
    Anew,
}

/// What holds for all nodes. Orders come to every node in one order. The node that gives
/// one obeys it before the answer; a [`TakeOver`](Self::TakeOver) alone comes back to it as
/// to the others. None is missed, but by a node that was away while very many were given:
/// that node is [told so](Listeners::missed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A connection took over a session id: any other that holds it is to end,
    /// unless a later order names it in turn.
    TakeOver {
        /// The id.
        session: SessionId,
        /// The life of the node that has the connection.
        life: LifeId,
        /// The connection.
        link: LinkId,
    },
    /// A backend sends a user away.
    Disconnect {
        /// The user.
        user: UserId,
    },
    /// A backend ends one session.
    End {
        /// The session.
        session: SessionId,
    },
    /// Tokens are not to be accepted any more, and sessions that show them end.
    Revoke(Revocation),
}

/// Which tokens are refused, and how long that has to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Which.
    pub tokens: Tokens,
    /// Until when they might have been valid; after that nothing has to be kept.
    pub until: Timestamp,
}

/// Which tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tokens {
    /// The one with this `jti`.
    Named(Arc<str>),
    /// A user's tokens issued up to a moment, and those that do not say when.
    OfUser {
        /// The user.
        user: UserId,
        /// The moment.
        issued_until: Timestamp,
    },
}

/// Who tries to connect, as attempts are counted.
#[derive(Debug, Clone, Copy)]
pub enum Attempt<'a> {
    /// An address, as limits count it.
    Address(IpAddr),
    /// A user.
    User(&'a UserId),
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub node: Arc<str>,
    /// The version it runs.
    pub version: Arc<str>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it said this.
    pub reported_at: Timestamp,
    /// Whether it takes new clients.
    pub ready: bool,
    /// Whether it is stopping.
    pub draining: bool,
    /// Connections open now.
    pub connections: usize,
    /// Connections it takes at most.
    pub max_connections: usize,
    /// Users who are there by its own connections.
    pub users: usize,
    /// Rooms that these users are in.
    pub rooms: usize,
    /// Messages and writes it took since it began.
    pub messages: u64,
    /// How many of them a second, of late.
    pub messages_per_second: f64,
    /// How far the clocks of those who sign tokens are ahead of the cluster's, in
    /// milliseconds, as far as tokens shown to the node tell.
    #[serde(default)]
    pub issuers_ahead_ms: u64,
}

/// Where a new connection of a user finds itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Counted in. `elsewhere` is how many connections other nodes have.
    Admitted {
        /// How many.
        elsewhere: usize,
    },
    /// The user has as many connections as it may; not counted.
    TooMany,
}

/// What became of messages that a client sent to its session by a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posted {
    /// The session has them, and answers them as it does any.
    Taken,
    /// The session takes no more just now: it has none of them.
    Busy,
    /// There is no such session, or its client says what it has to say over its
    /// own connection.
    Unknown,
}

/// Hands messages to a session of this node; none where it is not here.
pub type PostHere =
    Box<dyn Fn(&SessionId, Vec<Box<str>>) -> Option<BoxFuture<'static, Posted>> + Send + Sync>;

/// Hears what another node whispers; where that is a question, gives the answer.
pub type Ear = Box<dyn Fn(Whisper) -> Option<BoxFuture<'static, Whisper>> + Send + Sync>;

/// To whom goes what the other nodes say.
pub struct Listeners {
    /// Who is where.
    pub presence: Recipient<Heard>,
    /// Called with each order.
    pub orders: Box<dyn Fn(Order) + Send + Sync>,
    /// Called when other orders than revocations were missed.
    pub missed: Box<dyn Fn() + Send + Sync>,
    /// Asked for all revocations that are remembered, when the store may have lost some.
    pub revocations: Box<dyn Fn() -> Vec<Revocation> + Send + Sync>,
    /// Called with what is posted to a session that may be here.
    pub posts: PostHere,
    /// Called with what another node whispers.
    pub whispers: Ear,
    /// Asked for the connections of each user, when a new life begins.
    pub open: Box<dyn Fn() -> Vec<(UserId, usize)> + Send + Sync>,
}

/// The way to the other nodes.
pub trait Cluster: Send + Sync {
    /// The name of this node's present life.
    fn life(&self) -> LifeId;

    /// From now on, tells these what the others say. To be called once, before
    /// anything else.
    fn listen(&self, listeners: Listeners);

    /// Wants to hear who is in a room; the answer is [`Heard::Roll`] or
    /// [`Heard::Unread`]. Following twice is as following once.
    fn follow(&self, room: &RoomName);

    /// Wants to hear nothing more of it.
    fn unfollow(&self, room: &RoomName);

    /// Says what this node's entries in a room are now; none takes one away.
    /// Where this fails it is not repeated.
    fn tell(&self, room: &RoomName, entries: Vec<(UserId, Option<Entry>)>) -> Answer<'_, ()>;

    /// Who is in a room by the other nodes' word, once.
    fn roll(&self, room: &RoomName) -> Answer<'_, Roll>;

    /// How many users are in each of these rooms, by the word of all nodes. In a
    /// very large room a user of several nodes may count for each.
    fn headcount(&self, rooms: Vec<RoomName>) -> Answer<'_, Vec<usize>>;

    /// Says how this node is. To be repeated every few seconds.
    fn report(&self, report: NodeReport) -> Answer<'_, ()>;

    /// What the other nodes said last of themselves.
    fn reports(&self) -> Answer<'_, Vec<NodeReport>>;

    /// Counts an attempt to connect. Answers how long to wait where there were
    /// more than `per_second` on all nodes.
    fn attempt(&self, who: Attempt<'_>, per_second: u32) -> Answer<'_, Option<Duration>>;

    /// A user opens a connection, with which this node has `open` of it; all
    /// nodes together at most `limit`.
    fn admit(&self, user: &UserId, open: usize, limit: usize) -> Answer<'_, Admission>;

    /// This node has `open` connections of a user now.
    fn release(&self, user: &UserId, open: usize);

    /// Gives an order to all nodes. When this resolves, this node has obeyed it, unless it
    /// is a [`Order::TakeOver`].
    fn order(&self, order: Order) -> Answer<'_, ()>;

    /// What time it is by the clock that all nodes have in common.
    fn clock(&self) -> Answer<'_, Timestamp>;

    /// Hands messages to a user's session on another node. Where this fails, it
    /// may have them or not.
    fn post(&self, user: &UserId, session: &SessionId, messages: &[Box<str>])
    -> Answer<'_, Posted>;

    /// Says something to the other nodes that are there now. It may be lost.
    fn whisper(&self, whisper: &Whisper) -> Answer<'_, ()>;

    /// This node ends: nothing is told and heard any more. The others see it
    /// fall silent, which leaves its users their time to come back elsewhere.
    fn leave(&self);
}
