//! One client: what it does, by its own random numbers, and what it writes down
//! of what it hears.

mod act;
mod bursts;
mod directs;
mod hear;
mod signals;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    parse,
    plan::Setup,
    record::{Asked, ClientHistory, Entries, Event, InboxPosition, Members, Position, Room},
    servers::Doors,
};
use crate::harness::{Client, Random, TEXT, frame};

/// Where the run stands, for all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Write, read, leave, be cut.
    Work,
    /// Have everything acknowledged; some leave or go away for good.
    Finish,
    /// Send a last signal to every room.
    Calm,
    /// Note who is there, and end.
    Stop,
}

/// What every client is started with.
#[derive(Clone)]
pub struct World {
    pub start: Instant,
    pub setup: Setup,
    pub seed: u64,
    pub rooms: Arc<Vec<String>>,
    pub doors: Arc<Doors>,
    pub entries: Arc<Entries>,
    pub phase: watch::Receiver<Phase>,
}

/// What a client has seen of a room, for the end of the run to wait for.
#[derive(Debug, Clone)]
pub struct Place {
    pub position: Position,
    pub members: Members,
    /// The version of each key that is set.
    pub versions: BTreeMap<String, u64>,
}

/// How far a client is with finishing.
#[derive(Debug, Default)]
pub struct Progress {
    /// All is acknowledged.
    pub ready: bool,
    pub places: BTreeMap<Room, Place>,
    /// The last of its writes to each room.
    pub written: BTreeMap<Room, Position>,
    /// The last direct message that came, or that was seen before it connected.
    pub inbox: Option<InboxPosition>,
    /// The last of its direct messages to each user.
    pub directs: BTreeMap<String, InboxPosition>,
    /// The last signal that each client sent to a room, as this one heard it;
    /// its own is the last one acknowledged.
    pub signals: BTreeMap<(Room, usize), usize>,
    /// Its last signals are acknowledged.
    pub calm: bool,
}

/// A room as one client knows it.
#[derive(Default)]
struct Known {
    wanted: bool,
    /// A member on this connection.
    joined: bool,
    /// A `join` or `leave` is on its way.
    asking: Option<Asked>,
    leaving: bool,
    /// Not to be asked for before.
    not_before: Option<Instant>,
    /// The highest place seen, to resume from.
    position: Option<Position>,
    members: Members,
    versions: BTreeMap<String, u64>,
    /// The last message of its own is written: one in each room, so that
    /// every log ends with a message that comes to everybody.
    sealed: bool,
}

/// How long an answer may take at worst, faults included.
const CONNECTING: Duration = Duration::from_secs(5);

/// Why a connection is over.
enum End {
    Stop,
    /// The client itself cuts it.
    Cut,
    /// It goes away and stays away.
    Gone,
    Closed,
}

pub struct Writer {
    number: usize,
    world: World,
    random: Random,
    history: ClientHistory,
    progress: Arc<Mutex<Progress>>,
    rooms: Vec<Known>,
    session: Option<String>,
    /// Not acknowledged; sent on this connection and not answered, or to be
    /// sent at a moment.
    pending: BTreeMap<usize, Option<Instant>>,
    /// The same of direct messages.
    pending_directs: BTreeMap<usize, Option<Instant>>,
    /// Signals that are not acknowledged, and are not sent again.
    pending_signals: BTreeSet<usize>,
    /// The last position of each kind, for the end of the run to wait for.
    written: BTreeMap<Room, Position>,
    directs: BTreeMap<String, InboxPosition>,
    inbox: Option<InboxPosition>,
    signals: BTreeMap<(Room, usize), usize>,
    /// The rooms that got a last signal on this connection.
    calmed: BTreeSet<Room>,
    sent_last_direct: bool,
    flood: Option<bursts::Flood>,
    /// To be sent on this connection, in this order.
    out: Vec<Value>,
    /// To be cut when that is sent, answered or not.
    cuts: bool,
}

impl Writer {
    pub fn new(number: usize, user: String, seed: u64, world: World) -> Self {
        let mut random = Random::new(seed);
        let setup = world.setup;
        let known = |room: Room| {
            let wanted =
                (setup.small_rooms || random.within(0..3) > 0) && setup.may_join(number, room);
            Known { wanted, ..Known::default() }
        };
        let rooms = (0..world.rooms.len()).map(known).collect();
        let history = ClientHistory { user, ..ClientHistory::default() };
        Self {
            number,
            world,
            random,
            history,
            progress: Arc::default(),
            rooms,
            session: None,
            pending: BTreeMap::new(),
            pending_directs: BTreeMap::new(),
            pending_signals: BTreeSet::new(),
            written: BTreeMap::new(),
            directs: BTreeMap::new(),
            inbox: None,
            signals: BTreeMap::new(),
            calmed: BTreeSet::new(),
            sent_last_direct: false,
            flood: None,
            out: Vec::new(),
            cuts: false,
        }
    }

    pub fn progress(&self) -> Arc<Mutex<Progress>> {
        Arc::clone(&self.progress)
    }

    /// All that it saw and did, and its connection, if it has one in the end: as
    /// long as that is open, the others are told nothing of its end.
    pub async fn run(mut self) -> (ClientHistory, Option<Client>) {
        loop {
            if *self.world.phase.borrow() == Phase::Stop {
                return (self.history, None);
            }
            *self.lock() = Progress::default();
            let Some(mut client) = self.connect().await else {
                sleep(Duration::from_millis(self.random.within(50..400))).await;
                continue;
            };
            let end = self.serve(&mut client).await;
            let how = match end {
                End::Stop => {
                    for (room, known) in self.rooms.iter().enumerate().filter(|(_, it)| it.joined) {
                        self.history.members.insert(room, known.members.clone());
                    }
                    return (self.history, Some(client));
                }
                End::Gone => {
                    client.wire.cut();
                    self.note(Event::Disconnected { how: "gone for good".to_owned() });
                    *self.lock() = Progress { ready: true, calm: true, ..Progress::default() };
                    return (self.history, None);
                }
                End::Cut => self.cut(client).await,
                End::Closed => continue,
            };
            self.note(Event::Disconnected { how: how.to_owned() });
        }
    }

    fn note(&mut self, event: Event) {
        self.history.events.push((self.world.start.elapsed(), event));
    }

    fn strange(&mut self, room: Option<Room>, what: String) {
        self.note(Event::Strange { room, what });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("nobody panics with the progress")
    }

    fn phase(&self) -> Phase {
        *self.world.phase.borrow()
    }

    /// Whether it goes away in the end, or stays.
    fn goes(&self) -> bool {
        self.number % 7 == 6
    }

    /// Whether it leaves a room in the end.
    fn leaves(&self, room: Room) -> bool {
        self.number % 7 == 5 && room == 0
    }

    async fn connect(&mut self) -> Option<Client> {
        let node = self.random.within(0..self.world.doors.count() as u64) as usize;
        let mut connect = self.world.doors.open(node)?.connect(&self.history.user);
        if let (Some(session), true) = (&self.session, self.random.within(0..2) == 0) {
            connect = connect.query("session", session);
        }
        let wire = match timeout(CONNECTING, connect.attempt()).await.ok()?.ok()? {
            Ok(wire) => wire,
            Err(refusal) => {
                if !matches!(refusal.status, 429 | 503) {
                    self.strange(None, format!("refused with {refusal:?}"));
                }
                return None;
            }
        };
        let mut client = Client::new(wire);
        let welcome = timeout(CONNECTING, client.try_next()).await.ok()?.ok()?;
        let Ok(session) = parse::text(&welcome, "session") else {
            self.strange(None, format!("in place of a welcome: {welcome}"));
            return None;
        };
        self.session = Some(session.to_owned());
        let seen = match parse::inbox_position(&welcome["inbox"]) {
            Ok(seen) => seen,
            Err(what) => {
                self.strange(None, what);
                return None;
            }
        };
        self.inbox = Some(seen.clone());
        self.note(Event::Connected { node, seen });
        for known in &mut self.rooms {
            (known.joined, known.asking, known.leaving) = (false, None, false);
            known.not_before = None;
        }
        // All that was not answered is sent again.
        self.out.clear();
        self.cuts = false;
        let now = Instant::now();
        let pending = self.pending.values_mut().chain(self.pending_directs.values_mut());
        pending.for_each(|at| *at = Some(now));
        // What nobody acknowledged may never come, and nobody waits for it.
        self.pending_signals.clear();
        self.signals.clear();
        self.calmed.clear();
        self.flood = None;
        Some(client)
    }

    /// Cuts the connection, at times within a frame.
    async fn cut(&mut self, mut client: Client) -> &'static str {
        match self.random.within(0..4) {
            0 => {
                let _ = client.wire.try_send(&frame(true, TEXT, b"{\"type\":\"chat\"")[..9]).await;
                "cut within a frame"
            }
            1 => "closed by TCP",
            _ => {
                client.wire.cut();
                "cut"
            }
        }
    }

    async fn serve(&mut self, client: &mut Client) -> End {
        let mut due = Instant::now();
        let mut phase = self.world.phase.clone();
        loop {
            self.flood();
            // All in one write, so that a worker has them in one turn.
            let out = std::mem::take(&mut self.out);
            let frames = out.iter().map(|it| frame(true, TEXT, it.to_string().as_bytes()));
            let bytes = frames.collect::<Vec<_>>().concat();
            if !bytes.is_empty() && client.wire.try_send(&bytes).await.is_err() {
                self.note(Event::Disconnected { how: "found closed".to_owned() });
                return End::Closed;
            }
            if std::mem::take(&mut self.cuts) {
                return End::Cut;
            }
            tokio::select! {
                message = client.try_next() => match message {
                    Ok(message) => self.hear(&message),
                    Err(close) => {
                        let how = format!("{:?} {}", close.code, close.reason);
                        if matches!(close.code, Some(1002 | 1003 | 1007 | 1008 | 1009 | 1011)) {
                            self.strange(None, format!("closed with {how}"));
                        }
                        self.note(Event::Disconnected { how });
                        return End::Closed;
                    }
                },
                () = sleep_until(due) => {
                    due = self.next_step();
                    if let Some(end) = self.act() {
                        return end;
                    }
                }
                _ = phase.changed() => due = Instant::now(),
            }
            if self.phase() >= Phase::Finish {
                self.publish_progress();
            }
        }
    }

    fn publish_progress(&self) {
        let place = |(room, known): (Room, &Known)| {
            let position = known.position.clone()?;
            let (members, versions) = (known.members.clone(), known.versions.clone());
            known.joined.then_some((room, Place { position, members, versions }))
        };
        let settled = |(room, it): (Room, &Known)| {
            it.joined == (it.wanted && !self.leaves(room)) && (it.sealed || !it.wanted)
        };
        let mut progress = self.lock();
        progress.places = self.rooms.iter().enumerate().filter_map(place).collect();
        progress.written.clone_from(&self.written);
        progress.inbox.clone_from(&self.inbox);
        progress.directs.clone_from(&self.directs);
        progress.signals.clone_from(&self.signals);
        progress.calm = self.phase() == Phase::Calm && self.is_calm();
        progress.ready = self.pending.is_empty()
            && self.pending_directs.is_empty()
            && self.rooms.iter().enumerate().all(settled)
            && !self.goes();
    }
}
