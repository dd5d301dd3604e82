//! The other nodes, as presence sees them: what to listen to, what to tell,
//! what to ask.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{fut::wrap_future, prelude::*};
use futures_util::FutureExt;

use super::{
    following::{Following, Need},
    messages::Ticket,
    outbox::Answer,
    supervisor::PresenceSupervisor,
    telling::Telling,
};
use crate::{
    cluster::{Cluster, Heard, Roll, Unreachable},
    model::{LinkId, RoomName, UserId, WorkerId},
};

/// How long to wait before telling again what did not arrive.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A question of a worker, to be answered once what it is about was heard.
pub(super) struct Question {
    pub(super) worker: WorkerId,
    pub(super) answer: Answer,
    /// The connection that is let in by the answer.
    pub(super) entrant: Option<LinkId>,
}

impl Question {
    /// The rooms that the other nodes may know of what the answer does not.
    fn rooms(&self) -> Vec<RoomName> {
        match &self.answer {
            Answer::Members(_, room) => vec![room.clone()],
            Answer::Watched(_, users) => users.iter().map(RoomName::inbox).collect(),
            Answer::RoomFull(_) | Answer::Asked(..) | Answer::Unreachable(_) => Vec::new(),
        }
    }
}

/// Who asks who is in a room that is not followed.
pub(super) struct Inquiry {
    worker: WorkerId,
    ticket: Ticket,
    room: RoomName,
}

/// The way to the other nodes, and what is under way.
pub(super) struct Neighbours {
    cluster: Arc<dyn Cluster>,
    following: Following<Question>,
    telling: Telling,
    inquiries: Vec<Inquiry>,
    /// Whether the timer for what did not arrive runs.
    retrying: bool,
}

impl Neighbours {
    pub(super) fn new(cluster: Arc<dyn Cluster>) -> Self {
        Self {
            cluster,
            following: Following::default(),
            telling: Telling::default(),
            inquiries: Vec::new(),
            retrying: false,
        }
    }

    /// The way itself.
    pub(super) fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    /// This node's entry of a user is to be told.
    pub(super) fn mark(&mut self, room: RoomName, user: UserId) {
        self.telling.mark(room, user);
    }

    /// From now on a room is to be listened to.
    pub(super) fn need(&mut self, room: &RoomName, need: Need) {
        if self.following.begin(room, need) {
            self.cluster.follow(room);
        }
    }
}

impl PresenceSupervisor {
    /// A room needs not be listened to for this any more.
    pub(super) fn need_no_more(&mut self, room: &RoomName, need: Need) {
        let Some(neighbours) = &mut self.neighbours else { return };
        if let Some(questions) = neighbours.following.end(room, need) {
            neighbours.cluster.unfollow(room);
            self.roster.forget(room);
            self.release(questions);
        }
    }

    /// Answers a question as soon as what it is about was heard.
    pub(super) fn ask(&mut self, question: Question) {
        // What the question itself began to need is to be known.
        self.follow_up();
        let asked = match &mut self.neighbours {
            Some(neighbours) => neighbours.following.ask(&question.rooms(), question),
            None => Some(question),
        };
        if let Some(Question { worker, answer, .. }) = asked {
            self.outbox.answer(worker, answer);
        }
    }

    /// Answers who is in a room, though nobody here may be.
    pub(super) fn who_is(&mut self, worker: WorkerId, ticket: Ticket, room: RoomName) {
        match &mut self.neighbours {
            Some(it) if !it.following.has(&room) && !room.is_inbox() => {
                it.inquiries.push(Inquiry { worker, ticket, room });
            }
            _ => self.ask_members(worker, ticket, room),
        }
    }

    fn ask_members(&mut self, worker: WorkerId, ticket: Ticket, room: RoomName) {
        self.ask(Question { worker, answer: Answer::Members(ticket, room), entrant: None });
    }

    /// Answers questions that waited.
    fn release(&mut self, questions: Vec<Question>) {
        for Question { worker, mut answer, entrant } in questions {
            // Whoever came before the others were known came perhaps too late.
            if let (Some(link), Answer::Members(ticket, room)) = (entrant, &answer)
                && self.roster.is_over(room)
            {
                self.roster.untrack(link, room);
                answer = Answer::RoomFull(*ticket);
            }
            self.outbox.answer(worker, answer);
        }
    }

    /// Takes in what the other nodes say.
    fn hear(&mut self, heard: Heard) {
        let Some(neighbours) = &mut self.neighbours else { return };
        let following = &mut neighbours.following;
        match heard {
            Heard::Changed { room, life, entries } if following.has(&room) => {
                self.roster.hear(&room, &life, entries);
            }
            Heard::Roll { room, roll } if following.has(&room) => {
                let questions = following.heard(&room);
                neighbours.telling.retry(&room);
                self.roster.roll(&room, roll, Instant::now());
                self.release(questions);
            }
            Heard::Unread { room } => {
                let questions = following.heard(&room);
                self.release(questions);
            }
            // On its way when it was wanted no more.
            Heard::Changed { .. } | Heard::Roll { .. } => {}
            Heard::Anew => {
                for (room, user) in self.roster.own() {
                    neighbours.telling.mark(room, user);
                }
                neighbours.telling.retry_all();
            }
        }
    }

    /// Tells the others what is to be told, and asks them what is to be asked.
    pub(super) fn reach_out(&mut self, ctx: &mut Context<Self>) {
        let Some(neighbours) = &mut self.neighbours else { return };
        while let Some((room, users)) = neighbours.telling.next() {
            let entry = |user| {
                let entry = self.roster.entry(&room, &user);
                (user, entry)
            };
            let entries = users.into_iter().map(entry).collect();
            let (cluster, told) = (neighbours.cluster.clone(), room.clone());
            let tell = async move { cluster.tell(&told, entries).await };
            let done = wrap_future::<_, Self>(unpanicked(tell)).map(move |told, act, ctx| {
                act.guarded(ctx, |act| act.told(&room, told.is_ok()));
            });
            ctx.spawn(done);
        }
        for inquiry in std::mem::take(&mut neighbours.inquiries) {
            let (cluster, room) = (neighbours.cluster.clone(), inquiry.room.clone());
            let roll = async move { cluster.roll(&room).await };
            let done = wrap_future::<_, Self>(unpanicked(roll)).map(move |roll, act, ctx| {
                act.guarded(ctx, |act| act.asked(inquiry, roll));
            });
            ctx.spawn(done);
        }
        if neighbours.telling.has_failed() && !std::mem::replace(&mut neighbours.retrying, true) {
            ctx.run_later(RETRY_AFTER, |act, ctx| act.guarded(ctx, Self::tell_again));
        }
    }

    fn told(&mut self, room: &RoomName, arrived: bool) {
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.telling.done(room, arrived);
        }
    }

    fn tell_again(&mut self) {
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.retrying = false;
            neighbours.telling.retry_all();
        }
    }

    fn asked(&mut self, inquiry: Inquiry, roll: Result<Roll, Unreachable>) {
        let Inquiry { worker, ticket, room } = inquiry;
        if self.neighbours.as_ref().is_some_and(|it| it.following.has(&room)) {
            // Somebody came here meanwhile.
            return self.ask_members(worker, ticket, room);
        }
        let answer = match roll {
            Ok(roll) => {
                let (members, count) = self.roster.rolled(&room, roll);
                Answer::Asked(ticket, members, count)
            }
            Err(Unreachable) => Answer::Unreachable(ticket),
        };
        self.outbox.answer(worker, answer);
    }
}

/// A defect of the way to the others is as if they could not be reached: it is
/// not to end this actor.
pub(super) async fn unpanicked<T>(
    answer: impl Future<Output = Result<T, Unreachable>>,
) -> Result<T, Unreachable> {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or(Err(Unreachable))
}

impl Handler<Heard> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.hear(heard));
    }
}
