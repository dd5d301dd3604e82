use std::time::{Duration, Instant};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use indexmap::IndexMap;
use tokio::sync::oneshot;

use super::{
    handlers::settled,
    requests::{Unwatch, Watch},
    supervisor::{Attached, Question, RoomSupervisor},
};
use crate::{
    metrics::WorkerMetrics,
    model::{Availability, Code, LinkId, Problem, UserId},
    outbound::{LatestKey, LatestValue},
    presence,
    wire::{Event, EventKind, PerProtocol, encode},
};

/// Which sessions of a worker follow which users.
#[derive(Default)]
pub(super) struct Watchers {
    by_user: AHashMap<UserId, AHashSet<LinkId>>,
    by_link: AHashMap<LinkId, AHashSet<UserId>>,
    /// Changes that wait for their time.
    changed: IndexMap<UserId, Availability, ahash::RandomState>,
    flush_at: Option<Instant>,
}

impl Watchers {
    /// How many users a session follows, and how many it would.
    fn would_follow(&self, link: LinkId, users: &[UserId]) -> usize {
        let known = self.by_link.get(&link);
        let new = |user: &&UserId| !known.is_some_and(|known| known.contains(*user));
        known.map_or(0, |known| known.len()) + users.iter().filter(new).count()
    }

    fn add(&mut self, link: LinkId, user: &UserId) {
        self.by_user.entry(user.clone()).or_default().insert(link);
        self.by_link.entry(link).or_default().insert(user.clone());
    }

    /// A session follows a user no more; whether that was the user's last.
    fn remove(&mut self, link: LinkId, user: &UserId) -> bool {
        if let Some(users) = self.by_link.get_mut(&link) {
            users.remove(user);
            if users.is_empty() {
                self.by_link.remove(&link);
            }
        }
        let Some(links) = self.by_user.get_mut(user) else { return false };
        links.remove(&link);
        let last = links.is_empty();
        if last {
            self.by_user.remove(user);
        }
        last
    }

    /// A session follows nobody any more; answers whom nobody does now.
    pub(super) fn forget(&mut self, link: LinkId) -> Vec<UserId> {
        let users: Vec<UserId> = self.by_link.get(&link).into_iter().flatten().cloned().collect();
        users.into_iter().filter(|user| self.remove(link, user)).collect()
    }

    /// A user's state changed.
    pub(super) fn changed(&mut self, user: UserId, availability: Availability) {
        self.changed.insert(user, availability);
    }

    /// Whether changes wait.
    pub(super) fn waits(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Sends the changes if their time has come; answers when it will.
    pub(super) fn flush(
        &mut self,
        now: Instant,
        coalesce: Duration,
        attached: &AHashMap<LinkId, Attached>,
        counts: &WorkerMetrics,
    ) -> Option<Instant> {
        if self.changed.is_empty() {
            return None;
        }
        if let Some(at) = self.flush_at.filter(|at| *at > now) {
            return Some(at);
        }
        self.flush_at = Some(now + coalesce);
        for (user, availability) in self.changed.drain(..) {
            let users = [(user.clone(), availability)];
            let event = Event::Online { id: None, users: &users };
            let values = PerProtocol::default();
            for link in self.by_user.get(&user).into_iter().flatten() {
                if let Some(attached) = attached.get(link) {
                    let key = LatestKey::Online(user.clone());
                    let (frame, value) = values.get(attached.outbound.protocol(), |protocol| {
                        let frame = encode(protocol, &event);
                        (frame.clone(), LatestValue::Frame(frame))
                    });
                    attached.outbound.send_latest(frame, [(&key, value)]);
                    counts.sent(EventKind::Online, 1, frame.len() as u64);
                }
            }
        }
        None
    }
}

impl Handler<Watch> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(&mut self, message: Watch, _: &mut Self::Context) -> Self::Result {
        let Watch { link, id, mut users } = message;
        users.sort_unstable();
        users.dedup();
        let (done, answer) = oneshot::channel();
        let limit = self.watched_users();
        let wanted = self.watchers.would_follow(link, &users);
        if wanted > limit {
            let message = format!("`users`: a session follows at most {limit} users, not {wanted}");
            return Box::pin(async { Err(Problem::new(Code::TooLarge, message)) });
        }
        if self.attached.contains_key(&link) {
            for user in &users {
                self.watchers.add(link, user);
            }
            let worker = self.worker;
            let ticket = self.ticket(Question::Watch(link, id, done));
            self.presence.say(presence::Request::Watch { ticket, worker, users });
        }
        settled(answer)
    }
}

impl Handler<Unwatch> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Unwatch { link, users }: Unwatch, _: &mut Self::Context) {
        for user in users {
            if self.watchers.remove(link, &user) {
                self.presence.say(presence::Request::Unwatch { worker: self.worker, user });
            }
        }
    }
}
