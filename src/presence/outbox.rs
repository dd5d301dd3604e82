use actix::prelude::*;
use ahash::AHashMap;
use indexmap::IndexMap;

use super::messages::{News, Ticket};
use crate::model::{Availability, Member, PresenceChanges, RoomName, UserId, WorkerId};

/// An answer whose contents are looked up when it is sent, so that it agrees
/// with the changes sent before it and after it.
pub(super) enum Answer {
    Members(Ticket, RoomName),
    Watched(Ticket, Vec<UserId>),
    RoomFull(Ticket),
    /// Of a room that nothing is told of here: what was asked for is the answer.
    Asked(Ticket, Vec<Member>, usize),
    Unreachable(Ticket),
}

/// What waits for each worker. A worker's queue is bounded and may refuse; then
/// changes merge here, at most one for each room and user, until it takes them.
#[derive(Default)]
pub(super) struct Outbox {
    workers: AHashMap<WorkerId, Waiting>,
}

struct Waiting {
    queue: Recipient<News>,
    rooms: IndexMap<RoomName, PresenceChanges, ahash::RandomState>,
    online: IndexMap<UserId, Availability, ahash::RandomState>,
    /// Bounded by the sessions of the worker: each asks one thing at a time.
    answers: Vec<Answer>,
}

impl Outbox {
    pub(super) fn register(&mut self, worker: WorkerId, queue: Recipient<News>) {
        let waiting = Waiting {
            queue,
            rooms: IndexMap::default(),
            online: IndexMap::default(),
            answers: Vec::new(),
        };
        self.workers.insert(worker, waiting);
    }

    pub(super) fn room(&mut self, worker: WorkerId, room: &RoomName, changes: &PresenceChanges) {
        if let Some(waiting) = self.workers.get_mut(&worker) {
            match waiting.rooms.get_mut(room) {
                Some(earlier) => earlier.merge(changes),
                None => {
                    waiting.rooms.insert(room.clone(), changes.clone());
                }
            }
        }
    }

    pub(super) fn online(&mut self, worker: WorkerId, user: &UserId, availability: Availability) {
        if let Some(waiting) = self.workers.get_mut(&worker) {
            waiting.online.insert(user.clone(), availability);
        }
    }

    pub(super) fn answer(&mut self, worker: WorkerId, answer: Answer) {
        if let Some(waiting) = self.workers.get_mut(&worker) {
            waiting.answers.push(answer);
        }
    }

    /// Sends what the workers take; whether something is left.
    ///
    /// Changes go before answers: an answer is composed from what is true when
    /// it leaves, so a change must not be sent before it and be missing in it,
    /// nor be in it and come again later.
    pub(super) fn send(&mut self, compose: impl Fn(&Answer) -> News) -> bool {
        let mut left = false;
        self.workers.retain(|_, waiting| {
            left |= !waiting.send(&compose);
            waiting.queue.connected()
        });
        left
    }
}

impl Waiting {
    fn send(&mut self, compose: &impl Fn(&Answer) -> News) -> bool {
        while let Some((room, changes)) = self.rooms.pop() {
            let news = News::Changed { room: room.clone(), changes: changes.clone() };
            if self.queue.try_send(news).is_err() {
                self.rooms.insert(room, changes);
                return false;
            }
        }
        while let Some((user, availability)) = self.online.pop() {
            if self.queue.try_send(News::Online { user: user.clone(), availability }).is_err() {
                self.online.insert(user, availability);
                return false;
            }
        }
        let mut sent = 0;
        for answer in &self.answers {
            if self.queue.try_send(compose(answer)).is_err() {
                break;
            }
            sent += 1;
        }
        self.answers.drain(..sent);
        self.answers.is_empty()
    }
}
