//! What becomes of each message of this node.

use std::time::Instant;

use actix::prelude::*;

use super::{
    following::Need,
    messages::{Register, Request, Requests, Ticket},
    neighbours::Question,
    outbox::Answer,
    supervisor::PresenceSupervisor,
};
use crate::{
    model::{RoomName, UserId, WorkerId, wall_clock},
    supervision::InjectedFault,
};

impl Handler<Register> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Register { worker, news }: Register, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.outbox.register(worker, news));
    }
}

impl Handler<InjectedFault> for PresenceSupervisor {
    type Result = ();

    /// Past the guard that messages have, as a defect of the guard itself would be.
    fn handle(&mut self, _: InjectedFault, _: &mut Self::Context) {
        InjectedFault::raise();
    }
}

impl Handler<Requests> for PresenceSupervisor {
    type Result = ();

    /// What follows from requests that came together is sent when all are handled.
    fn handle(&mut self, Requests(requests): Requests, ctx: &mut Self::Context) {
        for request in requests {
            self.guard(|it| it.fulfil(request));
        }
        self.guarded(ctx, |_| {});
    }
}

impl PresenceSupervisor {
    fn fulfil(&mut self, request: Request) {
        match request {
            Request::Connect { link, worker, profile } => {
                self.roster.connect(link, worker, profile, wall_clock());
            }
            Request::Disconnect { link } => self.roster.disconnect(link, Instant::now()),
            Request::Track { ticket, worker, link, room } => {
                let answer = match self.roster.track(link, &room, wall_clock()) {
                    Ok(()) => Answer::Members(ticket, room),
                    Err(_) => Answer::RoomFull(ticket),
                };
                self.ask(Question { worker, answer, entrant: Some(link) });
            }
            Request::Untrack { link, room } => self.roster.untrack(link, &room),
            Request::SetStatus { link, status, meta } => {
                self.roster.set_status(link, status, meta, wall_clock());
            }
            Request::WhoIs { ticket, worker, room } => self.who_is(worker, ticket, room),
            Request::Watch { ticket, worker, users } => self.watch(ticket, worker, users),
            Request::Unwatch { worker, user } => self.unwatch(worker, &user),
        }
    }

    fn watch(&mut self, ticket: Ticket, worker: WorkerId, users: Vec<UserId>) {
        for user in &users {
            self.watched.entry(user.clone()).or_default().insert(worker);
            if let Some(neighbours) = &mut self.neighbours {
                neighbours.need(&RoomName::inbox(user), Need::Watched);
            }
        }
        self.ask(Question { worker, answer: Answer::Watched(ticket, users), entrant: None });
    }

    fn unwatch(&mut self, worker: WorkerId, user: &UserId) {
        let Some(workers) = self.watched.get_mut(user) else { return };
        workers.remove(&worker);
        if workers.is_empty() {
            self.watched.remove(user);
            self.need_no_more(&RoomName::inbox(user), Need::Watched);
        }
    }
}
