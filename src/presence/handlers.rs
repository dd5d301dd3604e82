//! What becomes of each message of this node.

use std::time::Instant;

use actix::prelude::*;

use super::{
    following::Need,
    messages::{Connect, Disconnect, Register, SetStatus, Track, Untrack, Unwatch, Watch, WhoIs},
    neighbours::Question,
    outbox::Answer,
    supervisor::PresenceSupervisor,
};
use crate::model::{RoomName, wall_clock};

impl Handler<Register> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Register { worker, news }: Register, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.outbox.register(worker, news));
    }
}

impl Handler<Connect> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Connect { link, worker, profile }: Connect, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.connect(link, worker, profile, wall_clock()));
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
            it.ask(Question { worker, answer, entrant: Some(link) });
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
        self.guarded(ctx, |it| it.roster.set_status(link, status, meta, wall_clock()));
    }
}

impl Handler<WhoIs> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, WhoIs { ticket, worker, room }: WhoIs, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.who_is(worker, ticket, room));
    }
}

impl Handler<Watch> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Watch { ticket, worker, users }: Watch, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| {
            for user in &users {
                it.watched.entry(user.clone()).or_default().insert(worker);
                if let Some(neighbours) = &mut it.neighbours {
                    neighbours.need(&RoomName::inbox(user), Need::Watched);
                }
            }
            it.ask(Question { worker, answer: Answer::Watched(ticket, users), entrant: None });
        });
    }
}

impl Handler<Unwatch> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Unwatch { worker, user }: Unwatch, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| {
            let Some(workers) = it.watched.get_mut(&user) else { return };
            workers.remove(&worker);
            if workers.is_empty() {
                it.watched.remove(&user);
                it.need_no_more(&RoomName::inbox(&user), Need::Watched);
            }
        });
    }
}
