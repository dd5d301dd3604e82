//! What becomes of each request of a session.

use actix::prelude::*;
use ahash::AHashSet;
use tokio::sync::oneshot;

use super::{
    join::{Entrant, Opening, Waiting},
    requests::{Attach, Detach, Join, Leave, ListMembers, NotOpened, OpenInbox, Renew},
    seat::Sees,
    supervisor::{Attached, Question, RoomSupervisor},
};
use crate::{
    broker::RETRY_AFTER,
    model::{Code, Problem, RoomName, What},
    presence,
    supervision::InjectedFault,
    wire::Event,
};

impl Handler<OpenInbox> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(
        &mut self,
        OpenInbox { link, user }: OpenInbox,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        self.end_turn_later(ctx);
        let (done, answer) = oneshot::channel();
        let name = RoomName::inbox(&user);
        self.opening.insert(link, Opening { user, inbox: None });
        self.enter(name, Waiting::Inbox { link, done }, ctx);
        settled(answer)
    }
}

impl Handler<Attach> for RoomSupervisor {
    type Result = Result<(), NotOpened>;

    fn handle(&mut self, attach: Attach, ctx: &mut Self::Context) -> Self::Result {
        let Attach { link, session, profile, welcome } = attach;
        self.end_turn_later(ctx);
        let outbound = self.links.borrow().get(&link).cloned().ok_or(NotOpened)?;
        let opening = self.opening.remove(&link).ok_or(NotOpened)?;
        let inbox = opening.inbox.ok_or(NotOpened)?;
        let (worker, known) = (self.worker, profile.clone());
        self.presence.say(presence::Request::Connect { link, worker, profile: known });
        let attached = Attached { outbound, session, profile, rooms: AHashSet::new() };
        self.attached.insert(link, attached);
        self.complete_attach(&RoomName::inbox(&opening.user), link, &welcome, inbox, ctx);
        Ok(())
    }
}

impl Handler<Join> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(&mut self, join: Join, ctx: &mut Self::Context) -> Self::Result {
        let Join { link, id, room, start, sees } = join;
        self.end_turn_later(ctx);
        let (done, answer) = oneshot::channel();
        let entrant = Entrant { link, id, room: room.clone(), start, sees, done };
        self.enter(room, Waiting::Join(entrant), ctx);
        settled(answer)
    }
}

/// The answer to a request, once it is there. Where the request was let go of,
/// its session is gone and nobody reads this.
pub(super) fn settled(
    answer: oneshot::Receiver<Result<(), Problem>>,
) -> ResponseFuture<Result<(), Problem>> {
    Box::pin(async move {
        answer.await.unwrap_or_else(|_| {
            Err(Problem::new(Code::Unavailable, "the connection is over").retry_after(RETRY_AFTER))
        })
    })
}

impl Handler<InjectedFault> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, _: InjectedFault, _: &mut Self::Context) {
        InjectedFault::raise();
    }
}

impl Handler<Leave> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Leave { link, id, room: name }: Leave, _: &mut Self::Context) {
        let Some(attached) = self.attached.get_mut(&link) else { return };
        if attached.rooms.remove(&name) {
            self.presence.say(presence::Request::Untrack { link, room: name.clone() });
            let (user, session) = (&attached.profile.user, &attached.session);
            self.traces.note(Some(user), Some(session), Some(&name), || What::Left);
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.remove(link);
        }
        let outbound = &attached.outbound;
        outbound.forget_room(&name);
        let event = Event::Left { id: id.as_ref(), room: &name };
        outbound.queue_reply(&event);
        outbound.flush();
        self.leave_if_deserted(&name);
    }
}

impl Handler<Detach> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Detach { link }: Detach, _: &mut Self::Context) {
        if let Some(Opening { user, .. }) = self.opening.remove(&link) {
            self.unseat(&RoomName::inbox(&user), link);
        }
        let Some(attached) = self.attached.remove(&link) else { return };
        self.presence.say(presence::Request::Disconnect { link });
        for user in self.watchers.forget(link) {
            self.presence.say(presence::Request::Unwatch { worker: self.worker, user });
        }
        let inbox = RoomName::inbox(&attached.profile.user);
        for name in attached.rooms.iter().chain([&inbox]) {
            if let Some(room) = self.rooms.get_mut(name) {
                room.remove(link);
            }
            self.leave_if_deserted(name);
        }
    }
}

impl Handler<ListMembers> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(&mut self, message: ListMembers, _: &mut Self::Context) -> Self::Result {
        let ListMembers { link, id, room } = message;
        let (done, answer) = oneshot::channel();
        let worker = self.worker;
        let ticket = self.ticket(Question::Members(link, id, room.clone(), done));
        self.presence.say(presence::Request::WhoIs { ticket, worker, room });
        settled(answer)
    }
}

impl Handler<Renew> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Renew { link, profile, grants }: Renew, _: &mut Self::Context) {
        let Some(attached) = self.attached.get_mut(&link) else { return };
        attached.profile = profile.clone();
        for name in &attached.rooms {
            if let Some(room) = self.rooms.get_mut(name) {
                room.regrant(link, Sees::granted(&grants, name));
            }
        }
        let worker = self.worker;
        self.presence.say(presence::Request::Connect { link, worker, profile });
    }
}
