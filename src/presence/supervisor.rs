use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use log::error;

use super::{
    following::Need,
    messages::News,
    neighbours::Neighbours,
    outbox::{Answer, Outbox},
    roster::{Effect, Roster},
};
use crate::{
    backend::Queue,
    cluster::Cluster,
    config::Settings,
    model::{RoomName, UserId, What, WorkerId},
    trace::Traces,
};

/// How long to wait before a worker whose queue was full is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// How often it is looked whether backends are to be told anew how rooms are.
const TELL_ANEW: Duration = Duration::from_secs(1);

/// At most so many messages wait of those that may be refused: the other nodes'.
const MAILBOX: usize = 16 * 1024;

/// The one actor of the node that knows who is where.
pub struct PresenceSupervisor {
    pub(super) roster: Roster,
    pub(super) outbox: Outbox,
    pub(super) watched: AHashMap<UserId, AHashSet<WorkerId>>,
    /// None where this node is the only one.
    pub(super) neighbours: Option<Neighbours>,
    /// Where backends are told who comes and goes, where this node does that.
    pub(super) queue: Option<Arc<Queue>>,
    /// Where those are told who trace users and rooms, if they are to be.
    traces: Option<Arc<Traces>>,
    /// What they were told last: an effect may come twice.
    traced: Option<(RoomName, UserId, What)>,
    /// The timer for the next end of a grace, and when it rings.
    expiry: Option<(SpawnHandle, Instant)>,
    retrying: bool,
}

impl PresenceSupervisor {
    /// Nobody is anywhere yet. What comes of the other nodes is to be sent to
    /// the actor as [`Heard`](crate::cluster::Heard).
    pub fn new(settings: &Settings, cluster: Option<Arc<dyn Cluster>>) -> Self {
        let roster = Roster::new(&settings.presence, &settings.rooms);
        Self {
            roster: if cluster.is_some() { roster.with_others() } else { roster },
            outbox: Outbox::default(),
            watched: AHashMap::new(),
            neighbours: cluster.map(Neighbours::new),
            queue: None,
            traces: None,
            traced: None,
            expiry: None,
            retrying: false,
        }
    }

    /// The same, which tells backends who comes and goes.
    #[must_use]
    pub fn telling(self, queue: Option<Arc<Queue>>) -> Self {
        Self { queue, ..self }
    }

    /// The same, which tells those who trace what changes.
    #[must_use]
    pub fn traced(self, traces: Arc<Traces>) -> Self {
        Self { traces: Some(traces), ..self }
    }

    /// This node's part of a user in a room is another now.
    fn trace(&mut self, room: &RoomName, user: &UserId) {
        let Some(traces) = self.traces.as_ref().filter(|it| it.is_on()) else { return };
        if room.is_inbox() {
            return;
        }
        let what = match self.roster.entry(room, user) {
            Some(entry) => What::Present { sessions: entry.sessions },
            None => What::Absent,
        };
        let told = (room.clone(), user.clone(), what.clone());
        if self.traced.as_ref() == Some(&told) {
            return;
        }
        traces.note(Some(user), None, Some(room), || what);
        self.traced = Some(told);
    }

    /// Does what a message asks, and what follows from it.
    pub(super) fn guarded(&mut self, ctx: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        self.guard(act);
        self.guard(|it| it.settle(ctx));
    }

    /// A defect that shows as a panic costs the message it showed in, not who is
    /// where: an actor that panics is gone, whoever supervises it.
    pub(super) fn guard(&mut self, act: impl FnOnce(&mut Self)) {
        if panic::catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            error!("a message to presence was given up after a panic");
        }
    }

    /// Lets go of whom the grace is over for, and sends what follows from the
    /// message just handled.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let next = self.roster.expire(Instant::now());
        self.follow_up();
        self.tell_anew();
        self.reach_out(ctx);
        self.send(ctx);
        if let Some(next) = next
            && self.expiry.is_none_or(|(_, at)| next != at)
        {
            if let Some((timer, _)) = self.expiry.take() {
                ctx.cancel_future(timer);
            }
            let timer = ctx.run_later(next.saturating_duration_since(Instant::now()), |it, ctx| {
                it.expiry = None;
                it.guarded(ctx, |_| {});
            });
            self.expiry = Some((timer, next));
        }
    }

    /// Notes for whom what follows from the roster's changes is.
    pub(super) fn follow_up(&mut self) {
        loop {
            let effects = self.roster.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.pass_on(effect);
            }
        }
    }

    fn pass_on(&mut self, effect: Effect) {
        if let Effect::Own(room, user) | Effect::Seat { room, user, .. } = &effect {
            self.trace(room, user);
        }
        match (effect, &mut self.neighbours) {
            (Effect::Room(room, changes), _) => {
                for worker in self.roster.workers(&room) {
                    self.outbox.room(worker, &room, &changes);
                }
            }
            (Effect::Online(user, availability), _) => {
                for worker in self.watched.get(&user).into_iter().flatten() {
                    self.outbox.online(*worker, &user, availability);
                }
            }
            (Effect::Own(room, user), Some(neighbours)) => neighbours.mark(room, user),
            (Effect::Occupied(room), Some(neighbours)) => neighbours.need(&room, Need::Occupied),
            (Effect::Deserted(room), Some(_)) => self.need_no_more(&room, Need::Occupied),
            (Effect::Seat { room, user, came, alone }, _) => {
                self.tell_backends(&room, user, came, alone);
            }
            (Effect::Own(..) | Effect::Occupied(_) | Effect::Deserted(_), None) => {}
        }
    }

    fn send(&mut self, ctx: &mut Context<Self>) {
        let roster = &self.roster;
        let left = self.outbox.send(|answer| match answer {
            Answer::Members(ticket, room) => {
                let (members, count) = roster.members(room);
                News::Members { ticket: *ticket, members, count }
            }
            Answer::RoomFull(ticket) => News::RoomFull { ticket: *ticket },
            Answer::Watched(ticket, users) => {
                let state = |user: &UserId| (user.clone(), roster.availability(user));
                News::Watched { ticket: *ticket, users: users.iter().map(state).collect() }
            }
            Answer::Asked(ticket, members, count) => {
                News::Members { ticket: *ticket, members: members.clone(), count: *count }
            }
            Answer::Unreachable(ticket) => News::Unreachable { ticket: *ticket },
        });
        if left && !self.retrying {
            self.retrying = true;
            ctx.run_later(RETRY, |it, ctx| {
                it.retrying = false;
                it.guarded(ctx, |_| {});
            });
        }
    }
}

impl Actor for PresenceSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.queue.is_some() {
            ctx.run_interval(TELL_ANEW, |it, ctx| it.guarded(ctx, |_| {}));
        }
    }
}
