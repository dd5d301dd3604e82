//! The events of all nodes, which wait in Redis for backends, and the one node
//! that delivers them.
//!
//! The events of a room are written by the scripts that make them. Before such a
//! script runs, its room is written down as *expected*; after it, as *ready*. The
//! deliverer takes the ready ones as they come, and looks through the expected
//! ones from time to time, so that what a node wrote before it died is found.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt, join_all, join3};
use indexmap::IndexSet;
use log::{info, warn};
use redis::cmd;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    events,
    hooking::{Hooking, letters},
    logs::millis,
    node::Node,
    perhaps::{Perhaps, understood},
    script::{DELIVERER, EXPECT_NO_MORE, RESIGN, TAKE, TAKEN},
};
use crate::{
    backend::{Event, Hooks, Outbox, Resync, Wants},
    broker::Unavailable,
    model::{Epoch, LifeId, RoomName, Timestamp},
};

/// So many rooms are looked at at once.
const AT_ONCE: usize = 64;

/// So many rooms are read at once to be delivered: each may fill a call alone.
const TURNS: usize = 8;

/// How often it is looked through the rooms in which events are expected.
const SURVEY: Duration = Duration::from_secs(2);

/// For how long, in milliseconds, events are looked for in a room after they were
/// expected there: for longer than a node believes to have said so, and a command
/// may be on its way.
const LOOKED_FOR: u64 = 60_000;

/// How long to wait before asking Redis again what it did not answer, and before
/// looking again whether there is something to do.
const PAUSE: Duration = Duration::from_millis(200);

/// An event in its stream, behind its place.
type Stored = (String, Perhaps<events::Fields>);

/// The outbox of all nodes.
pub struct RedisOutbox {
    node: Arc<Node>,
    hooks: Arc<Hooks>,
    /// By what this process says that it delivers.
    name: LifeId,
    /// Until when it does, at least.
    delivers_until: Mutex<Option<Instant>>,
    lanes: Vec<Lane>,
}

/// The rooms in which events wait for one hook, in the order of their turns.
#[derive(Default)]
struct Lane {
    rooms: Mutex<IndexSet<RoomName, ahash::RandomState>>,
    filled: Notify,
}

impl Lane {
    fn rooms(&self) -> MutexGuard<'_, IndexSet<RoomName, ahash::RandomState>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, room: RoomName) {
        self.rooms().insert(room);
        self.filled.notify_one();
    }

    fn next(&self, most: usize) -> Vec<RoomName> {
        let mut rooms = self.rooms();
        let count = rooms.len().min(most);
        rooms.drain(..count).collect()
    }
}

/// What waits in one room for one hook.
struct Waiting {
    count: usize,
    owed: bool,
    events: Vec<Event>,
}

impl RedisOutbox {
    pub(super) fn new(node: &Arc<Node>) -> Option<Self> {
        let hooks = node.hooking.as_ref()?.hooks.clone();
        let lanes = hooks.all().iter().map(|_| Lane::default()).collect();
        let (node, name) = (node.clone(), LifeId::random("deliverer"));
        Some(Self { node, hooks, name, delivers_until: Mutex::default(), lanes })
    }

    /// Sees to it that one node delivers, and finds what it has to; ends when it
    /// is dropped.
    pub async fn run(self: Arc<Self>) {
        let Some(hooking) = &self.node.hooking else { return };
        join3(self.apply(hooking), self.collect(), self.survey(hooking)).await;
    }

    /// Lets another node deliver.
    pub async fn resign(&self) {
        if self.delivers() {
            *self.until() = None;
            let call = RESIGN.call([self.node.names.deliverer()]).arg(self.name.as_str());
            // Where this fails another one does when the time is over.
            let _ = self.node.run::<u64>(call).await;
        }
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.delivers_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivers(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    /// Says again and again that this node would deliver, and learns how many
    /// events wait.
    async fn apply(&self, hooking: &Hooking) {
        let period = (self.node.lease / 10).clamp(Duration::from_millis(50), SURVEY / 2);
        loop {
            let began = Instant::now();
            let call = DELIVERER
                .call([self.node.names.deliverer(), self.node.names.waiting()])
                .arg(self.name.as_str())
                .arg(millis(self.node.lease));
            let applied = self.node.run::<(bool, Vec<(String, String)>)>(call).await;
            if let Ok((is, waiting)) = applied {
                let until = is.then(|| began + self.node.lease.mul_f64(0.8));
                let before = std::mem::replace(&mut *self.until(), until);
                if is && before.is_none() {
                    info!("this node delivers webhooks");
                }
                for (number, hook) in self.hooks.all().iter().enumerate() {
                    let of = waiting.iter().find(|(name, _)| *name == hook.endpoint.name);
                    let Some((count, oldest)) = of.and_then(|(_, it)| it.split_once(' ')) else {
                        continue;
                    };
                    let count: u64 = count.parse().unwrap_or(0);
                    hooking.wait(number, count);
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    hook.figures.wait(count, oldest.parse().ok());
                }
            }
            sleep(period).await;
        }
    }

    /// Takes the rooms in which events came to wait.
    async fn collect(&self) {
        loop {
            sleep(self.hooks.settings.delay).await;
            while self.delivers() {
                let mut pop = cmd("SPOP");
                pop.arg(self.node.names.ready()).arg(AT_ONCE);
                let Ok(rooms) = self.node.command::<Vec<Perhaps<String>>>(&pop).await else {
                    break;
                };
                let count = rooms.len();
                for room in understood(rooms) {
                    for lane in &self.lanes {
                        lane.add(RoomName::named(&room));
                    }
                }
                if count < AT_ONCE {
                    break;
                }
            }
        }
    }

    /// Looks through the rooms in which events are expected.
    async fn survey(&self, hooking: &Hooking) {
        loop {
            if self.delivers() {
                // What could not be seen is seen the next time.
                let _ = self.survey_once(hooking).await;
                sleep(SURVEY).await;
            } else {
                sleep(PAUSE).await;
            }
        }
    }

    async fn survey_once(&self, hooking: &Hooking) -> Result<(), Unavailable> {
        let expected = self.node.names.expected();
        let mut all = cmd("ZRANGE");
        all.arg(&expected).arg(0).arg(-1);
        let rooms: Vec<String> = understood(self.node.command(&all).await?).collect();
        let mut sums = vec![(0_usize, None::<Timestamp>); self.lanes.len()];
        for rooms in rooms.chunks(AT_ONCE) {
            let seen = rooms.iter().map(|room| self.look(hooking, RoomName::named(room)));
            let mut empty = Vec::new();
            for (room, seen) in rooms.iter().zip(join_all(seen).await) {
                let seen = seen?;
                if seen.iter().all(|waiting| waiting.count == 0 && !waiting.owed) {
                    empty.push(room.as_str());
                }
                for ((count, oldest), waiting) in sums.iter_mut().zip(seen) {
                    *count += waiting.count;
                    let first = waiting.events.first().map(|event| event.timestamp);
                    *oldest = [*oldest, first].into_iter().flatten().min();
                }
            }
            if !empty.is_empty() {
                let call = EXPECT_NO_MORE.call([expected.clone()]).arg(LOOKED_FOR).arg(empty);
                self.node.run::<u64>(call).await?;
            }
        }
        let mut set = cmd("HSET");
        set.arg(self.node.names.waiting());
        for (hook, (count, oldest)) in self.hooks.all().iter().zip(sums) {
            set.arg(&hook.endpoint.name).arg(format!("{count} {}", oldest.unwrap_or(0)));
        }
        self.node.command::<u64>(&set).await.map(drop)
    }

    /// What waits in a room, for each hook; their turns come.
    async fn look(&self, hooking: &Hooking, room: RoomName) -> Result<Vec<Waiting>, Unavailable> {
        let mut all = Vec::with_capacity(self.lanes.len());
        for (number, lane) in self.lanes.iter().enumerate() {
            let waiting = self.take(hooking, number, &room, 1).await?;
            if waiting.count > 0 {
                lane.add(room.clone());
            }
            all.push(waiting);
        }
        Ok(all)
    }

    /// The events that wait in a room for a hook.
    async fn take(
        &self,
        hooking: &Hooking,
        number: usize,
        room: &RoomName,
        most: usize,
    ) -> Result<Waiting, Unavailable> {
        let Some(hook) = self.hooks.get(number) else {
            return Ok(Waiting { count: 0, owed: false, events: Vec::new() });
        };
        let names = &self.node.names;
        let stream = names.events(room, &hook.endpoint.name);
        let wants: Wants = hook.wants(room);
        let call = TAKE
            .call([names.who(room), names.untold(room), stream])
            .arg(Epoch::random().to_string())
            .arg(1)
            .arg(letters(wants))
            .arg(u8::from(!hooking.has_place(number)))
            .arg(most)
            .arg(Resync::NAMED);
        let (count, owed, stored): (usize, bool, Vec<Stored>) = self.node.run(call).await?;
        let (mut events, mut odd) = (Vec::with_capacity(stored.len()), Vec::new());
        for (place, fields) in stored {
            match fields.0.and_then(|fields| events::read(room, &place, fields)) {
                Some(event) => events.push(event),
                None => odd.push(place),
            }
        }
        if !odd.is_empty() {
            warn!("{} events that this version does not understand were let go", odd.len());
            self.taken(number, room, odd).await?;
        }
        Ok(Waiting { count, owed, events })
    }

    async fn taken(
        &self,
        number: usize,
        room: &RoomName,
        places: Vec<String>,
    ) -> Result<usize, Unavailable> {
        let Some(hook) = self.hooks.get(number) else { return Ok(0) };
        let stream = self.node.names.events(room, &hook.endpoint.name);
        self.node.run(TAKEN.call([stream]).arg(places)).await
    }

    async fn read(&self, number: usize, most: usize) -> Vec<Event> {
        let (Some(lane), Some(hooking)) = (self.lanes.get(number), &self.node.hooking) else {
            return std::future::pending().await;
        };
        loop {
            if !self.delivers() {
                sleep(PAUSE).await;
                continue;
            }
            let mut turns = lane.rooms().len();
            if turns == 0 {
                let _ = timeout(PAUSE, lane.filled.notified()).await;
                continue;
            }
            let (mut events, mut failed) = (Vec::new(), false);
            // Each room once.
            while turns > 0 && events.len() < most {
                // Out of the lane before they are read: what comes then puts them back.
                let rooms = lane.next(turns.min(TURNS));
                turns = if rooms.is_empty() { 0 } else { turns - rooms.len() };
                let read = rooms.iter().map(|room| self.take(hooking, number, room, most));
                for (room, read) in rooms.iter().zip(join_all(read).await) {
                    failed |= read.is_err();
                    if !matches!(read, Ok(Waiting { count: 0, .. })) {
                        lane.add(room.clone());
                    }
                    events.extend(read.into_iter().flat_map(|waiting| waiting.events));
                }
            }
            events.truncate(most);
            if !events.is_empty() {
                return events;
            }
            if failed {
                sleep(PAUSE).await;
            }
        }
    }

    async fn done(&self, number: usize, events: &[Event]) {
        let Some(lane) = self.lanes.get(number) else { return };
        let mut by_room: Vec<(&RoomName, Vec<String>)> = Vec::new();
        for Event { id, room, .. } in events {
            let (Some(room), Some((_, place))) = (room, id.split_once('-')) else { continue };
            match by_room.iter_mut().find(|(known, _)| *known == room) {
                Some((_, places)) => places.push(place.to_owned()),
                None => by_room.push((room, vec![place.to_owned()])),
            }
        }
        let done = by_room.into_iter().map(|(room, places)| async move {
            lane.rooms().shift_remove(room);
            // What could not be taken away comes again.
            if self.taken(number, room, places).await != Ok(0) {
                lane.add(room.clone());
            }
        });
        join_all(done).await;
    }
}

impl Outbox for RedisOutbox {
    fn read(&self, hook: usize, most: usize) -> BoxFuture<'_, Vec<Event>> {
        self.read(hook, most).boxed()
    }

    fn done<'a>(&'a self, hook: usize, events: &'a [Event]) -> BoxFuture<'a, ()> {
        self.done(hook, events).boxed()
    }
}
