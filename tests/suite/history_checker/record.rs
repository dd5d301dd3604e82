//! What is written down of a run: all that a client sent, was answered and was
//! told, in its own order, and how the rooms looked at the end.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A room, by its number.
pub type Room = usize;
/// A moment of the run, from its start.
pub type At = Duration;
/// The users of a room and how many sessions each has.
pub type Members = BTreeMap<String, u64>;
/// A room's shared state: value and version of each key.
pub type State = BTreeMap<String, (String, u64)>;

/// A place in one life of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub epoch: Arc<str>,
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch.get(..4).unwrap_or(&self.epoch), self.seq)
    }
}

/// An entry of a log as everybody is shown it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    pub user: String,
    pub body: Body,
    pub timestamp: u64,
}

/// What an entry says. The text tells which write of which client it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    Chat(String),
    Event(String),
    Set { key: String, value: Option<String> },
}

impl Entry {
    /// The write that this entry is; a deletion does not say.
    pub fn write(&self) -> Option<WriteId> {
        match &self.body {
            Body::Chat(text) | Body::Event(text) => WriteId::parse(text),
            Body::Set { value, .. } => WriteId::parse(value.as_ref()?),
        }
    }

    pub fn is_set(&self) -> bool {
        matches!(self.body, Body::Set { .. })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Chat(text) => write!(f, "chat {text}"),
            Body::Event(text) => write!(f, "event {text}"),
            Body::Set { key, value: Some(text) } => write!(f, "set {key} = {text}"),
            Body::Set { key, value: None } => write!(f, "delete {key} of {}", self.user),
        }
    }
}

/// One write of one client, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId {
    pub client: usize,
    pub number: usize,
}

impl WriteId {
    pub fn parse(text: &str) -> Option<Self> {
        let (client, number) = text.strip_prefix('c')?.split_once('/')?;
        Some(Self { client: client.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}/{}", self.client, self.number)
    }
}

/// What a client means to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub room: Room,
    pub what: What,
    pub echo: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Chat,
    Event,
    Set { key: String, delete: bool, if_version: Option<u64> },
}

/// What a client asked for when it joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub since: Option<Position>,
    pub history: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Joined {
    pub end: Position,
    pub recovered: bool,
    pub messages: Vec<(u64, Arc<Entry>)>,
    pub state: State,
    /// Whether the list of members has the client's own user.
    pub oneself: bool,
}

/// A place in a user's inbox. No `epoch` where the message has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InboxPosition {
    pub epoch: Option<Arc<str>>,
    pub seq: u64,
}

impl fmt::Display for InboxPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.epoch {
            Some(epoch) => write!(f, "{}:{}", epoch.get(..4).unwrap_or(epoch), self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

/// A message that is in no log: a signal under an event of its client's own, so
/// that no other session of the user overwrites it, or a sign of typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Event,
    Typing(bool),
}

#[derive(Debug, Clone)]
pub enum Event {
    Connected {
        node: usize,
        /// The last message of the inbox that was seen.
        seen: InboxPosition,
    },
    Disconnected {
        how: String,
    },
    /// `asked` is none where the server told it of its own accord.
    Joined {
        room: Room,
        asked: Option<Asked>,
        joined: Joined,
    },
    Left {
        room: Room,
    },
    /// A live entry of the log.
    Live {
        room: Room,
        seq: u64,
        entry: Arc<Entry>,
    },
    Sent {
        room: Room,
        write: usize,
    },
    Acked {
        room: Room,
        write: usize,
        at: Position,
        duplicate: bool,
    },
    /// A compare-and-set that failed, and what was there.
    Conflict {
        room: Room,
        write: usize,
        current: (Option<String>, u64),
    },
    /// The cluster could not be reached; the same is asked again.
    Unavailable {
        room: Room,
        what: String,
    },
    /// A message to a user; its number is that in [`ClientHistory::directs`].
    DirectSent {
        direct: usize,
    },
    DirectAcked {
        direct: usize,
        at: InboxPosition,
        duplicate: bool,
    },
    /// A message to a user came: to its recipient with its place in the inbox, to
    /// the sender's sessions without.
    Direct {
        from: String,
        to: String,
        direct: WriteId,
        at: Option<InboxPosition>,
    },
    /// The client says how far it has seen its inbox.
    Seen {
        at: InboxPosition,
    },
    /// A signal or typing; its number is that in [`ClientHistory::signals`].
    SignalSent {
        signal: usize,
    },
    SignalAcked {
        signal: usize,
    },
    /// A signal of another member.
    Signal {
        room: Room,
        user: String,
        signal: WriteId,
    },
    /// Typing of another member.
    Typing {
        room: Room,
        user: String,
        active: bool,
    },
    /// What the contract does not have.
    Strange {
        room: Option<Room>,
        what: String,
    },
}

impl Event {
    pub fn room(&self) -> Option<Room> {
        match self {
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::DirectSent { .. }
            | Self::DirectAcked { .. }
            | Self::Direct { .. }
            | Self::Seen { .. }
            | Self::SignalSent { .. }
            | Self::SignalAcked { .. } => None,
            Self::Strange { room, .. } => *room,
            Self::Joined { room, .. }
            | Self::Left { room }
            | Self::Live { room, .. }
            | Self::Sent { room, .. }
            | Self::Acked { room, .. }
            | Self::Conflict { room, .. }
            | Self::Signal { room, .. }
            | Self::Typing { room, .. }
            | Self::Unavailable { room, .. } => Some(*room),
        }
    }
}

/// What one client lived through.
#[derive(Debug, Clone, Default)]
pub struct ClientHistory {
    pub user: String,
    pub writes: Vec<Draft>,
    /// To whom each direct message goes.
    pub directs: Vec<String>,
    pub signals: Vec<(Room, Signal)>,
    pub events: Vec<(At, Event)>,
    /// The rooms it is a member of at the end, with presence as it was told.
    pub members: BTreeMap<Room, Members>,
}

/// A room at the end, as one node shows it.
#[derive(Debug, Clone)]
pub struct View {
    pub node: usize,
    pub room: Room,
    /// The end of the log.
    pub end: Position,
    pub log: Vec<(u64, Arc<Entry>)>,
    pub state: State,
    pub members: Members,
}

/// Something that was done to a server, until that was whole again.
#[derive(Debug, Clone)]
pub struct Outage {
    pub what: String,
    /// The node that it was done to; none where it was Redis.
    pub node: Option<usize>,
    pub begins: At,
    pub ends: At,
    /// Whether it loses what was stored.
    pub loses: bool,
}

#[derive(Debug, Clone, Default)]
pub struct History {
    pub clients: Vec<ClientHistory>,
    pub views: Vec<View>,
    pub outages: Vec<Outage>,
    /// When the clients were told to end: what was not due by then is not judged.
    pub ends: At,
}

/// Keeps one copy of each entry, as many clients are shown it.
#[derive(Default)]
pub struct Entries(Mutex<HashSet<Arc<Entry>>>);

impl Entries {
    pub fn one(&self, entry: Entry) -> Arc<Entry> {
        let mut known = self.0.lock().expect("nobody panics with the entries");
        match known.get(&entry) {
            Some(entry) => Arc::clone(entry),
            None => {
                let entry = Arc::new(entry);
                known.insert(Arc::clone(&entry));
                entry
            }
        }
    }
}
