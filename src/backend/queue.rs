//! The outbox of a node alone: in memory, and gone with the process.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ahash::AHashMap;
use futures_util::future::{BoxFuture, FutureExt};
use log::warn;
use tokio::{sync::Notify, time::sleep};

use super::{
    deliver::Outbox,
    event::{Event, Resync, What},
    hook::Hooks,
};
use crate::model::{RoomName, random_u64, wall_clock};

/// What waits for each hook. An event that finds a full lane is left out, and
/// so are the later ones of its room, until there is place to say how the room
/// is.
pub struct Queue {
    hooks: Arc<Hooks>,
    /// What ids begin with, for no other process begins them with it.
    run: u64,
    last: AtomicU64,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// The rooms of which events were left out, and how many.
    lost: AHashMap<RoomName, u64>,
    /// Whether there were too many of those to be remembered.
    all_lost: bool,
    /// Whether rooms are to be told anew, and there is place for it.
    due: bool,
}

/// What is to be told anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// These rooms, of each of which so many events were left out.
    Rooms(Vec<(RoomName, u64)>),
    /// All that there are.
    All,
}

impl Queue {
    /// Nothing waits but the word that nobody is anywhere.
    pub fn new(hooks: Arc<Hooks>) -> Self {
        let lanes = hooks.all().iter().map(|_| Lane::default()).collect();
        let queue = Self { hooks, run: random_u64(), last: AtomicU64::new(0), lanes };
        for hook in 0..queue.lanes.len() {
            queue.append(hook, None, What::Reset);
        }
        queue
    }

    /// Something happened in a room, or to an inbox's user.
    pub fn tell(&self, room: &RoomName, what: &What) {
        for (number, hook) in self.hooks.all().iter().enumerate() {
            if !hook.wants(room).has(what) {
                continue;
            }
            let Some(lane) = self.lanes.get(number) else { continue };
            let mut waiting = lane.waiting();
            if waiting.takes(room, self.most()) {
                waiting.events.push_back(self.event(Some(room.clone()), what.clone()));
                drop(waiting);
                lane.filled.notify_one();
            } else {
                waiting.leave_out(room, self.most(), &hook.endpoint.name);
                hook.figures.dropped.inc();
            }
        }
    }

    /// For each hook that has place again for what was left out, what that is.
    /// It is to be [told anew](Self::resync) before anything else happens.
    pub fn due(&self) -> Vec<(usize, Due)> {
        let due = |(number, lane): (usize, &Lane)| {
            let mut waiting = lane.waiting();
            if !mem::take(&mut waiting.due) {
                return None;
            }
            let lost = mem::take(&mut waiting.lost);
            if mem::take(&mut waiting.all_lost) {
                return Some((number, Due::All));
            }
            Some((number, Due::Rooms(lost.into_iter().collect())))
        };
        self.lanes.iter().enumerate().filter_map(due).collect()
    }

    /// Tells one hook how a room is.
    pub fn resync(&self, hook: usize, room: &RoomName, resync: Resync) {
        if self
            .hooks
            .get(hook)
            .is_some_and(|it| it.wants(room).has(&What::Resync(Resync::default())))
        {
            self.append(hook, Some(room.clone()), What::Resync(resync));
        }
    }

    /// Tells one hook that nothing holds of what it was told.
    pub fn reset(&self, hook: usize) {
        self.append(hook, None, What::Reset);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting().events.is_empty())
    }

    fn append(&self, hook: usize, room: Option<RoomName>, what: What) {
        if let Some(lane) = self.lanes.get(hook) {
            lane.waiting().events.push_back(self.event(room, what));
            lane.filled.notify_one();
        }
    }

    fn event(&self, room: Option<RoomName>, what: What) -> Event {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{:016x}-{number}", self.run).into();
        Event { id, timestamp: wall_clock(), room, what }
    }

    fn most(&self) -> usize {
        self.hooks.settings.queue
    }

    async fn read(&self, hook: usize, most: usize) -> Vec<Event> {
        let Some(lane) = self.lanes.get(hook) else { return std::future::pending().await };
        while lane.waiting().events.is_empty() {
            lane.filled.notified().await;
        }
        if lane.waiting().events.len() < most {
            sleep(self.hooks.settings.delay).await;
        }
        let waiting = lane.waiting();
        self.measure(hook, &waiting);
        waiting.events.iter().take(most).cloned().collect()
    }

    fn done(&self, hook: usize, count: usize) {
        let Some(lane) = self.lanes.get(hook) else { return };
        let mut waiting = lane.waiting();
        let count = count.min(waiting.events.len());
        waiting.events.drain(..count);
        if waiting.owes() && waiting.events.len() <= self.most() / 2 {
            waiting.due = true;
        }
        self.measure(hook, &waiting);
    }

    fn measure(&self, hook: usize, waiting: &Waiting) {
        if let Some(hook) = self.hooks.get(hook) {
            let oldest = waiting.events.front().map(|event| event.timestamp);
            hook.figures.wait(waiting.events.len(), oldest);
        }
    }
}

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn owes(&self) -> bool {
        self.all_lost || !self.lost.is_empty()
    }

    fn takes(&self, room: &RoomName, most: usize) -> bool {
        !self.all_lost && self.events.len() < most && !self.lost.contains_key(room)
    }

    fn leave_out(&mut self, room: &RoomName, most: usize, hook: &str) {
        if !self.owes() {
            warn!("webhooks of {hook}: {most} events wait; what happens now is left out");
        }
        if self.all_lost {
            return;
        }
        if self.lost.len() >= most && !self.lost.contains_key(room) {
            self.lost = AHashMap::new();
            self.all_lost = true;
            return;
        }
        *self.lost.entry(room.clone()).or_default() += 1;
    }
}

impl Outbox for Queue {
    fn read(&self, hook: usize, most: usize) -> BoxFuture<'_, Vec<Event>> {
        self.read(hook, most).boxed()
    }

    fn done<'a>(&'a self, hook: usize, events: &'a [Event]) -> BoxFuture<'a, ()> {
        async move { self.done(hook, events.len()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn queue(most: usize) -> Queue {
        let settings = Settings::from_toml(&format!(
            "webhooks.url = \"http://localhost/\"\nwebhooks.keys = [\"12345678\"]\n\
             webhooks.delay = \"10ms\"\nwebhooks.queue = {most}"
        ));
        let hooks = Hooks::new(&settings.unwrap().webhooks).unwrap();
        Queue::new(Arc::new(hooks))
    }

    fn whats(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| format!("{:?}", event.what)).collect()
    }

    #[actix_web::test]
    async fn what_was_read_comes_again_until_it_is_done() {
        let queue = queue(10);
        let room = RoomName::named("r");
        queue.tell(&room, &What::Occupied);
        queue.tell(&room, &What::Vacated);
        let first = queue.read(0, 2).await;
        assert_eq!(whats(&first), ["Reset", "Occupied"]);
        let again = queue.read(0, 10).await;
        assert_eq!(whats(&again), ["Reset", "Occupied", "Vacated"]);
        assert_eq!(again[1].id, first[1].id, "an event keeps its id");
        queue.done(0, 2);
        assert_eq!(whats(&queue.read(0, 10).await), ["Vacated"]);
        queue.done(0, 1);
        assert!(queue.is_empty());
    }

    #[actix_web::test]
    async fn past_the_bound_a_room_is_left_out_until_it_is_told_anew() {
        let queue = queue(2);
        let (full, other) = (RoomName::named("full"), RoomName::named("other"));
        queue.tell(&full, &What::Occupied);
        queue.tell(&full, &What::Vacated);
        assert!(queue.due().is_empty(), "there is no place yet");
        queue.done(0, 2);
        queue.tell(&full, &What::Occupied);
        queue.tell(&other, &What::Occupied);
        let waiting = queue.read(0, 10).await;
        assert_eq!(waiting.len(), 1, "nothing of the room before it is told anew");
        assert_eq!(waiting[0].room, Some(other));
        assert_eq!(queue.due(), [(0, Due::Rooms(vec![(full.clone(), 2)]))]);
        queue.resync(0, &full, Resync { lost: 2, count: 0, members: None });
        assert!(queue.due().is_empty());
        assert!(whats(&queue.read(0, 10).await)[1].starts_with("Resync"));
    }

    #[test]
    fn more_rooms_than_can_be_remembered_are_all() {
        let queue = queue(2);
        for number in 0..6 {
            queue.tell(&RoomName::named(&format!("r{number}")), &What::Occupied);
        }
        queue.done(0, 2);
        assert_eq!(queue.due(), [(0, Due::All)]);
    }
}
