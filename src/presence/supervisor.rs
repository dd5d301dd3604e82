use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use log::error;
use serde_json::value::RawValue;

use super::{
    outbox::{Answer, Outbox},
    roster::{Effect, Roster},
};
use crate::{
    config::Settings,
    model::{
        Availability, LinkId, Member, PresenceChanges, Profile, RoomName, Status, UserId, WorkerId,
        wall_clock,
    },
};

/// How long to wait before a worker whose queue was full is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// By what a worker finds the question that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a worker is told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum News {
    /// The answer to [`Track`] and to [`WhoIs`].
    Members {
        /// Of the question.
        ticket: Ticket,
        /// Who is there.
        members: Vec<Member>,
        /// How many are there.
        count: usize,
    },
    /// The answer to [`Track`] where the room takes no more sessions.
    RoomFull {
        /// Of the question.
        ticket: Ticket,
    },
    /// The answer to [`Watch`].
    Watched {
        /// Of the question.
        ticket: Ticket,
        /// How they are now.
        users: Vec<(UserId, Availability)>,
    },
    /// The members of a room changed.
    Changed {
        /// The room.
        room: RoomName,
        /// What changed.
        changes: PresenceChanges,
    },
    /// A watched user's state changed.
    Online {
        /// The user.
        user: UserId,
        /// How it is now.
        availability: Availability,
    },
}

/// A worker that wants news.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Register {
    /// Its name.
    pub worker: WorkerId,
    /// Its queue.
    pub news: Recipient<News>,
}

/// A connection of a user began.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    /// The connection.
    pub link: LinkId,
    /// Where it lives.
    pub worker: WorkerId,
    /// Whose it is.
    pub profile: Arc<Profile>,
}

/// A connection ended; its user leaves after the grace.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Disconnect {
    /// The connection.
    pub link: LinkId,
}

/// A session became a member; answered with [`News::Members`] or
/// [`News::RoomFull`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Track {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The session's connection.
    pub link: LinkId,
    /// The room.
    pub room: RoomName,
}

/// A session is no member any more, by its own will.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Untrack {
    /// The session's connection.
    pub link: LinkId,
    /// The room.
    pub room: RoomName,
}

/// A user says something new of itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetStatus {
    /// A connection of the user.
    pub link: LinkId,
    /// What to show.
    pub status: Status,
    /// What to show besides; unchanged where there is none.
    pub meta: Option<Arc<RawValue>>,
}

/// Asks who is in a room; answered with [`News::Members`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct WhoIs {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The room.
    pub room: RoomName,
}

/// A worker wants to know of changes in these users' state; answered with
/// [`News::Watched`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Watch {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The users.
    pub users: Vec<UserId>,
}

/// A worker does not want to know of this user any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unwatch {
    /// Who asked.
    pub worker: WorkerId,
    /// The user.
    pub user: UserId,
}

/// The one actor of the node that knows who is where.
pub struct PresenceSupervisor {
    roster: Roster,
    outbox: Outbox,
    watched: AHashMap<UserId, AHashSet<WorkerId>>,
    /// The timer for the next end of a grace, and when it rings.
    expiry: Option<(SpawnHandle, Instant)>,
    retrying: bool,
}

impl PresenceSupervisor {
    /// Nobody is anywhere yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            roster: Roster::new(settings.presence.grace, &settings.rooms),
            outbox: Outbox::default(),
            watched: AHashMap::new(),
            expiry: None,
            retrying: false,
        }
    }

    /// Does what a message asks, and what follows from it. A defect that shows
    /// as a panic costs the message it showed in, not who is where: an actor
    /// that panics is gone, whoever supervises it.
    fn guarded(&mut self, ctx: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        let done = panic::catch_unwind(AssertUnwindSafe(|| {
            act(self);
            self.settle(ctx);
        }));
        if done.is_err() {
            error!("a message to presence was given up after a panic");
        }
    }

    /// Lets go of whom the grace is over for, and sends what follows from the
    /// message just handled.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let next = self.roster.expire(Instant::now());
        for effect in self.roster.take_effects() {
            match effect {
                Effect::Room(room, changes) => {
                    for worker in self.roster.workers(&room) {
                        self.outbox.room(worker, &room, &changes);
                    }
                }
                Effect::Online(user, availability) => {
                    for worker in self.watched.get(&user).into_iter().flatten() {
                        self.outbox.online(*worker, &user, availability);
                    }
                }
            }
        }
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
        });
        if left && !self.retrying {
            self.retrying = true;
            ctx.run_later(RETRY, |it, ctx| {
                it.retrying = false;
                it.send(ctx);
            });
        }
    }
}

impl Actor for PresenceSupervisor {
    type Context = Context<Self>;
}

impl Handler<Register> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Register { worker, news }: Register, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.outbox.register(worker, news));
    }
}

impl Handler<Connect> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Connect { link, worker, profile }: Connect, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.connect(link, worker, profile));
    }
}

impl Handler<Disconnect> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Disconnect { link }: Disconnect, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.disconnect(link, Instant::now()));
    }
}

impl Handler<Track> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, message: Track, ctx: &mut Self::Context) {
        let Track { ticket, worker, link, room } = message;
        self.guarded(ctx, |it| {
            let answer = match it.roster.track(link, &room, wall_clock()) {
                Ok(()) => Answer::Members(ticket, room),
                Err(_) => Answer::RoomFull(ticket),
            };
            it.outbox.answer(worker, answer);
        });
    }
}

impl Handler<Untrack> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Untrack { link, room }: Untrack, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.untrack(link, &room));
    }
}

impl Handler<SetStatus> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, SetStatus { link, status, meta }: SetStatus, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.set_status(link, status, meta));
    }
}

impl Handler<WhoIs> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, WhoIs { ticket, worker, room }: WhoIs, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.outbox.answer(worker, Answer::Members(ticket, room)));
    }
}

impl Handler<Watch> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Watch { ticket, worker, users }: Watch, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| {
            for user in &users {
                it.watched.entry(user.clone()).or_default().insert(worker);
            }
            it.outbox.answer(worker, Answer::Watched(ticket, users));
        });
    }
}

impl Handler<Unwatch> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Unwatch { worker, user }: Unwatch, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| {
            if let Some(workers) = it.watched.get_mut(&user) {
                workers.remove(&worker);
                if workers.is_empty() {
                    it.watched.remove(&user);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A message with a defect.
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Defect;

    impl Handler<Defect> for PresenceSupervisor {
        type Result = ();

        fn handle(&mut self, Defect: Defect, ctx: &mut Self::Context) {
            self.guarded(ctx, |_| panic!("a defect"));
        }
    }

    struct Worker(mpsc::UnboundedSender<News>);

    impl Actor for Worker {
        type Context = Context<Self>;
    }

    impl Handler<News> for Worker {
        type Result = ();

        fn handle(&mut self, news: News, _: &mut Self::Context) {
            let _ = self.0.send(news);
        }
    }

    #[actix::test]
    async fn a_defect_in_one_message_costs_that_message_alone() {
        let (sender, mut told) = mpsc::unbounded_channel();
        let (worker, link) = (WorkerId::next(), LinkId::next());
        let presence = PresenceSupervisor::new(&Settings::default()).start();
        let news = Worker(sender).start().recipient();
        presence.do_send(Register { worker, news });
        let user = UserId::parse("ada").unwrap();
        let profile = Arc::new(Profile { user, name: None, meta: None });
        presence.do_send(Connect { link, worker, profile });
        let room = RoomName::parse("lobby").unwrap();
        presence.do_send(Track { ticket: Ticket(1), worker, link, room: room.clone() });
        presence.do_send(Defect);
        presence.do_send(WhoIs { ticket: Ticket(2), worker, room });
        loop {
            if let News::Members { ticket: Ticket(2), count, .. } = told.recv().await.unwrap() {
                assert_eq!(count, 1);
                break;
            }
        }
    }
}
