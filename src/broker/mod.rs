//! Where messages get their place and from where they are handed on.
//!
//! A broker keeps, for each room, a log, the shared state and the keys against
//! doubling, and hands every new entry to the subscribers of the room. A
//! subscriber is one worker thread: the broker feeds workers inside a process
//! as it feeds nodes across processes.
//!
//! # The laws
//!
//! Every implementation keeps them; `tests/suite/broker_laws.rs` holds
//! each implementation to them.
//!
//! 1. Per room, `seq` rises by one, with no hole, on every node.
//! 2. Appending to the log, taking the `seq`, dedup by nonce and handing on are
//!    one atomic step.
//! 3. After [`Broker::subscribe`] resolves, a later publication is never missed
//!    without the subscriber seeing a gap in `seq`, or learning that its queue
//!    [overflowed](Subscriber::take_overflowed).
//! 4. A new epoch means that the log before it is gone.
//! 5. Publications of one session to one room keep their order, provided the
//!    session awaits each before it begins the next.
//! 6. [`Broker::publish`] resolves after the entry is in the log, never before.

mod cursor;
mod delivery;
mod figures;
pub mod memory;
pub mod redis;
mod revocations;
mod stored;
mod wake_queue;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

pub use delivery::{DeliveriesReady, Delivery, DeliveryFaults, DeliveryQueues, Subscriber};
pub use figures::Figures;
pub use revocations::RevocationStore;
pub(crate) use wake_queue::WakeBatch;

use crate::{
    config::{self, RoomSettings},
    model::{
        Code, Current, Draft, Epoch, Pattern, Position, Problem, Publication, RoomName, Seq,
        StateEntry, Transient, UserId, WorkerId,
    },
};

/// A future of a broker's answer.
pub type Answer<'a, T, E = Unavailable> = BoxFuture<'a, Result<T, E>>;

/// The broker cannot do it now. Whether a write was done is not known; sending
/// it again with its nonce is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It holds as much as it may.
    #[error("the broker holds as much as it may")]
    Full,
    /// It cannot be reached.
    #[error("the broker cannot be reached now")]
    Unreachable,
    /// What it took is not yet on as many replicas as it has to be.
    #[error("the broker's replicas do not have it yet")]
    Unreplicated,
    /// What it keeps on disk cannot be written.
    #[error("the broker's store cannot be written now")]
    Unstored,
}

impl Unavailable {
    /// A word for metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Unreplicated => "unreplicated",
            Self::Unstored => "unstored",
        }
    }
}

/// How long to wait before asking again what the broker could not do.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(Code::Unavailable, unavailable.to_string()).retry_after(RETRY_AFTER)
    }
}

/// How many of the newest entries a reader is given whose place in the log is
/// not known any more.
pub const RESUME_PAGE: usize = 50;

/// Why a publication was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// The broker cannot do it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The key's version is not the one the writer named.
    #[error("the key's version is {}, not the one named", .0.version)]
    Conflict(Current),
    /// The room's state holds as many keys or bytes as it may.
    #[error("the room's state is full: at most {0}")]
    StateFull(String),
}

impl PublishError {
    /// A word for metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Unavailable(unavailable) => unavailable.cause(),
            Self::Conflict(_) => "conflict",
            Self::StateFull(_) => "state_full",
        }
    }
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the log.
    pub position: Position,
    /// Whether it had been appended before, by an earlier try with its nonce.
    pub duplicate: bool,
}

/// Where a reader of a log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the end: nothing of what was.
    End,
    /// With the newest so many.
    Newest(usize),
    /// After a place known to the reader, or, where the log does not reach
    /// back to it, with the newest so many.
    After {
        /// The last place the reader has seen; none where the reader names an
        /// epoch that no log ever had.
        known: Option<Position>,
        /// How many to give where `known` cannot be continued.
        otherwise: usize,
    },
}

/// A room's log and state, read in one atomic step.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The end of the log.
    pub position: Position,
    /// Whether `messages` continue what the reader knew.
    pub recovered: bool,
    /// Entries in rising order, up to `position`.
    pub messages: Vec<Arc<Publication>>,
    /// The shared state at `position`.
    pub state: Vec<StateEntry>,
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Only entries before this place.
    pub before: Option<Seq>,
    /// Only entries after this place; without `before`, the page begins here.
    pub after: Option<Seq>,
    /// At most so many.
    pub limit: usize,
}

/// A part of a log, in rising order.
#[derive(Debug, Clone)]
pub struct Page {
    /// The life of the log.
    pub epoch: Epoch,
    /// The entries.
    pub messages: Vec<Arc<Publication>>,
    /// Whether the log goes on in the direction asked for.
    pub more: bool,
}

impl Page {
    /// Reading makes no room: a log that nobody ever wrote has no life to name.
    fn of_no_room() -> Self {
        Self { epoch: Epoch::random(), messages: Vec::new(), more: false }
    }
}

/// Which part of a room's state is wanted, in the order of the keys' bytes.
#[derive(Debug, Clone)]
pub struct StateRequest {
    /// Only keys after this one.
    pub after: Option<Arc<str>>,
    /// At most so many.
    pub limit: usize,
}

/// A part of a room's state.
#[derive(Debug, Clone)]
pub struct StatePage {
    /// The end of the log at that moment.
    pub position: Position,
    /// The entries, in the order of their keys.
    pub entries: Vec<StateEntry>,
    /// Whether there are keys after them.
    pub more: bool,
}

impl StatePage {
    /// The part that is wanted of the whole state.
    fn cut(position: Position, mut state: Vec<StateEntry>, request: &StateRequest) -> Self {
        if let Some(after) = &request.after {
            state.retain(|entry| entry.key > *after);
        }
        state.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let more = state.len() > request.limit;
        state.truncate(request.limit);
        Self { position, entries: state, more }
    }

    /// As of a page of the log.
    fn of_no_room() -> Self {
        let position = Position { epoch: Epoch::random(), seq: 0 };
        Self { position, entries: Vec::new(), more: false }
    }
}

/// Which rooms are wanted.
#[derive(Debug, Clone)]
pub struct RoomsRequest {
    /// Only those whose names have this form.
    pub pattern: Option<Pattern>,
    /// Where the page before said that the next one begins.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A room, and where its log ends.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The room.
    pub room: RoomName,
    /// The end of its log.
    pub position: Position,
}

/// A page of rooms, in no order. It may be short, even empty, though there are
/// more: looking for rooms takes bounded time.
#[derive(Debug, Clone)]
pub struct Rooms {
    /// The rooms.
    pub rooms: Vec<Listed>,
    /// The cursor of the next page; none where this is the last one.
    pub next: Option<String>,
}

/// What waits for a user.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// The last entry the user has seen.
    pub seen: Position,
    /// The end of the inbox's log.
    pub end: Seq,
    /// The entries after it, in rising order.
    pub unseen: Vec<Arc<Publication>>,
}

/// How a broker is, for probes.
#[derive(Debug, Clone, Copy)]
pub struct Health {
    /// Which implementation it is.
    pub kind: &'static str,
    /// Whether it can be used now.
    pub ok: bool,
    /// Why it cannot, where that is known.
    pub problem: Option<&'static str>,
}

/// How a room is kept; an inbox is a room with bounds of its own.
fn room_settings(rooms: &config::Rooms, inbox: &config::Inbox, room: &RoomName) -> RoomSettings {
    let settings = rooms.for_room(room.as_str());
    if room.is_inbox() {
        RoomSettings { history_size: inbox.size, history_ttl: inbox.ttl, ..settings }
    } else {
        settings
    }
}

/// The place of all logs; see the [module](self) for its laws.
pub trait Broker: Send + Sync {
    /// From when this resolves on, hands the room's entries and transients to
    /// `subscriber`; answers the end of the log at that moment. Some up to that
    /// end may be handed on as well. Subscribing twice is as subscribing once.
    fn subscribe(&self, room: &RoomName, subscriber: &Subscriber) -> Answer<'_, Position>;

    /// Hands nothing more of the room to the subscriber.
    fn unsubscribe(&self, room: &RoomName, worker: WorkerId);

    /// Appends to the room's log and hands on.
    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError>;

    /// Hands on without storing. A subscriber whose queue is full keeps the last value of
    /// each signal; [`Unavailable::Full`] if one cannot even do that.
    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()>;

    /// The end of the room's log as far as it was handed to subscribers. None if that is
    /// not known at once: the room does not exist here, or entries wait to be stored.
    /// Costs no more than a lookup, because every worker asks for each of its rooms
    /// several times a minute.
    fn delivered_end(&self, room: &RoomName) -> Option<Position>;

    /// Reads log and state in one step.
    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot>;

    /// Reads a part of the log.
    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page>;

    /// Reads a part of the state.
    fn state(&self, room: &RoomName, request: StateRequest) -> Answer<'_, StatePage>;

    /// Which rooms there are, inboxes left out. A room that is there from the
    /// first page to the last is on one of them. Nothing where the request's
    /// cursor is none of this broker's.
    fn rooms(&self, request: RoomsRequest) -> Answer<'_, Option<Rooms>>;

    /// What waits for a user.
    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox>;

    /// Notes that the user has seen its inbox up to here; beyond the end counts
    /// as the end, and what was seen stays seen. A place of another life of the log
    /// says nothing: with an `epoch` that is not the present one, nothing is noted.
    fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Answer<'_, ()>;

    /// How the broker is.
    fn health(&self) -> Health;

    /// How it gets on with the servers behind it, where there are any.
    fn figures(&self) -> Option<Figures> {
        None
    }
}
