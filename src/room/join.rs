//! How a session becomes a member without a hole and without a repeat.
//!
//! 1. The room is subscribed, if this worker does not have it yet. From here on
//!    what is fanned out is kept for the session.
//! 2. Log and state are read in one step.
//! 3. Presence takes the session in and says who is there.
//! 4. `joined` tells what was read; what was fanned out since follows it; the
//!    session has its seat in the fan-out.

use std::{rc::Rc, sync::Arc};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    fanout::{Room, continued},
    requests::Welcome,
    seat::{Seat, Sees, user_hash},
    supervisor::{Question, RoomSupervisor},
};
use crate::{
    broker::{Inbox, Snapshot, Start, Unavailable},
    model::{
        Farewell, LinkId, Member, Position, Problem, Publication, RoomName, Seq, UserId, What,
    },
    outbound::{Outbound, StatePages},
    presence,
    wire::{Event, RequestId},
};

/// Told when a request is done.
pub(super) type Done = oneshot::Sender<Result<(), Problem>>;

/// A session on its way into a room.
pub(super) struct Entrant {
    pub(super) link: LinkId,
    pub(super) id: Option<RequestId>,
    pub(super) room: RoomName,
    pub(super) start: Start,
    /// None for a member that only writes: it gets no seat.
    pub(super) sees: Option<Sees>,
    pub(super) done: Done,
}

/// A session that waits for a room to be subscribed.
pub(super) enum Waiting {
    Join(Entrant),
    /// The room is the inbox of a connection that is about to begin.
    Inbox {
        link: LinkId,
        done: Done,
    },
}

/// A connection that is about to begin, and its inbox once that is read. What is
/// fanned out after that is kept for the connection by the room.
pub(super) struct Opening {
    pub(super) user: UserId,
    pub(super) inbox: Option<Inbox>,
}

impl Waiting {
    fn link(&self) -> LinkId {
        match self {
            Self::Join(entrant) => entrant.link,
            Self::Inbox { link, .. } => *link,
        }
    }

    fn fail(self, problem: Problem) {
        let (Self::Join(Entrant { done, .. }) | Self::Inbox { done, .. }) = self;
        // Nobody waits any more where the session is gone.
        let _ = done.send(Err(problem));
    }
}

impl RoomSupervisor {
    /// Step 1.
    pub(super) fn enter(&mut self, name: RoomName, waiting: Waiting, ctx: &mut Context<Self>) {
        let Some(subscriber) = self.subscriber.clone() else { return };
        if let Waiting::Join(Entrant { link, sees: None, .. }) = &waiting {
            // It may have had one before.
            self.unseat(&name, *link);
            return self.read(name, waiting, ctx);
        }
        let new = || Box::new(Room::new(name.clone(), self.counts.clone()));
        let room = self.rooms.entry(name.clone()).or_insert_with(new);
        room.arrive(waiting.link());
        if room.position().is_some() {
            self.read(name, waiting, ctx);
            return;
        }
        let queue = self.waiting.entry(name.clone()).or_default();
        queue.push(waiting);
        if queue.len() > 1 {
            return;
        }
        let broker = self.broker.clone();
        let asked = name.clone();
        let subscribed = async move { broker.subscribe(&asked, &subscriber).await };
        ctx.spawn(subscribed.into_actor(self).map(move |position, act, ctx| {
            let waiting = act.waiting.remove(&name).unwrap_or_default();
            match position {
                Ok(position) => {
                    if let Some(room) = act.rooms.get_mut(&name) {
                        room.begin(position);
                    }
                    for waiting in waiting {
                        act.read(name.clone(), waiting, ctx);
                    }
                }
                Err(unavailable) => {
                    for waiting in waiting {
                        act.fail(&name, waiting, unavailable);
                    }
                }
            }
        }));
    }

    /// Step 2.
    fn read(&mut self, name: RoomName, waiting: Waiting, ctx: &mut Context<Self>) {
        let broker = self.broker.clone();
        match waiting {
            Waiting::Join(entrant) => {
                let start = entrant.start;
                let asked = name.clone();
                let read = async move { broker.snapshot(&asked, start).await };
                ctx.spawn(read.into_actor(self).map(move |snapshot, act, _| match snapshot {
                    Ok(snapshot) => act.track(entrant, snapshot),
                    Err(unavailable) => act.fail(&name, Waiting::Join(entrant), unavailable),
                }));
            }
            Waiting::Inbox { link, done } => {
                let Some(opening) = self.opening.get(&link) else {
                    return self.abandon(&name, link);
                };
                let user = opening.user.clone();
                let read = async move { broker.inbox(&user).await };
                ctx.spawn(read.into_actor(self).map(move |inbox, act, _| match inbox {
                    Ok(inbox) => match act.opening.get_mut(&link) {
                        Some(opening) => {
                            opening.inbox = Some(inbox);
                            let _ = done.send(Ok(()));
                        }
                        None => act.abandon(&name, link),
                    },
                    Err(unavailable) => {
                        act.opening.remove(&link);
                        act.fail(&name, Waiting::Inbox { link, done }, unavailable);
                    }
                }));
            }
        }
    }

    /// Step 3.
    fn track(&mut self, entrant: Entrant, snapshot: Snapshot) {
        let Entrant { link, room, .. } = &entrant;
        let (link, room, worker) = (*link, room.clone(), self.worker);
        match self.attached.get_mut(&link) {
            Some(attached) => attached.rooms.insert(room.clone()),
            None => return self.abandon(&room, link),
        };
        let ticket = self.ticket(Question::Join(entrant, snapshot));
        self.presence.say(presence::Request::Track { ticket, worker, link, room });
    }

    /// Step 4.
    pub(super) fn complete_join(
        &mut self,
        entrant: Entrant,
        mut snapshot: Snapshot,
        members: &[Member],
        count: usize,
        ctx: &mut Context<Self>,
    ) {
        let Entrant { link, room: name, .. } = &entrant;
        let (link, name) = (*link, name.clone());
        let Some(attached) = self.attached.get(&link) else { return self.abandon(&name, link) };
        let (outbound, session) = (attached.outbound.clone(), attached.session.clone());
        let user = attached.profile.user.clone();
        let Some(sees) = entrant.sees else {
            return self.complete_unseated(entrant, snapshot.position, count);
        };
        let Some((cursor, after)) = self.arrived(&name, link, snapshot.position, ctx) else {
            return self.enter(name, Waiting::Join(entrant), ctx);
        };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        let Entrant { id, start, done, .. } = entrant;
        self.metrics.joins.inc();
        let resumes = matches!(start, Start::After { .. });
        if resumes {
            self.metrics.resumed(snapshot.recovered);
        }
        let recovered = resumes.then_some(snapshot.recovered);
        let Position { epoch, seq } = snapshot.position;
        self.traces.note(Some(&user), Some(&session), Some(&name), || What::Joined {
            epoch,
            seq,
            recovered,
        });

        let mut pages = StatePages::new(name.clone(), snapshot.state.into());
        let state = pages.take_page().to_vec();
        // What the session wrote with `echo: false` stays left out for it.
        snapshot.messages.retain(|entry| !entry.author.left_out(&session));
        let event = Event::Joined {
            id: id.as_ref(),
            room: &name,
            position: snapshot.position,
            recovered: snapshot.recovered,
            messages: &snapshot.messages,
            viewer: &user,
            members: if sees.presence { members } else { &[] },
            count,
            state: &state,
            state_more: !pages.is_done(),
        };
        outbound.forget_room(&name);
        outbound.queue_reply(&event);
        outbound.queue_state(pages);
        for publication in after.iter().filter(|entry| !entry.author.left_out(&session)) {
            queue_entry(&outbound, publication, publication.author.user.as_ref() == Some(&user));
        }
        outbound.flush();
        let user_hash = user_hash(&user);
        let protocol = outbound.protocol();
        room.seat(Seat {
            outbound,
            protocol,
            user,
            user_hash,
            session,
            cursor,
            generation: 0,
            sees,
        });
        let _ = done.send(Ok(()));
    }

    /// What follows a log that was read up to `end`, for a session whose join is
    /// under way: up to which place it is told, and the entries it has to get; none
    /// where the log has to be read again.
    fn arrived(
        &mut self,
        name: &RoomName,
        link: LinkId,
        end: Position,
        ctx: &mut Context<Self>,
    ) -> Option<(Seq, Vec<Arc<Publication>>)> {
        let room = self.rooms.get_mut(name)?;
        let missed = room.arrived(link)?;
        if room.position().is_some_and(|known| known.epoch != end.epoch) {
            // The log began anew and the fan-out is not told yet: it is now, before
            // anybody is seated who would be told twice.
            let accepted = room.reaches(end);
            self.accepted(accepted, name, ctx);
            return None;
        }
        continued(end, missed)
    }

    /// Step 4 for a member that only writes: it is told where the log is, and
    /// has no part in the fan-out.
    fn complete_unseated(&mut self, entrant: Entrant, position: Position, count: usize) {
        let Entrant { link, id, room, done, .. } = entrant;
        let Some(attached) = self.attached.get(&link) else { return };
        self.metrics.joins.inc();
        let Position { epoch, seq } = position;
        self.traces.note(
            Some(&attached.profile.user),
            Some(&attached.session),
            Some(&room),
            || What::Joined { epoch, seq, recovered: None },
        );
        let event = Event::Joined {
            id: id.as_ref(),
            room: &room,
            position,
            recovered: false,
            messages: &[],
            viewer: &attached.profile.user,
            members: &[],
            count,
            state: &[],
            state_more: false,
        };
        let outbound = &attached.outbound;
        outbound.forget_room(&room);
        outbound.queue_reply(&event);
        outbound.flush();
        let _ = done.send(Ok(()));
    }

    /// Steps 3 and 4 for a connection that just began: `welcome`, then what
    /// waits in the inbox.
    pub(super) fn complete_attach(
        &mut self,
        name: &RoomName,
        link: LinkId,
        welcome: &Welcome,
        inbox: Inbox,
        ctx: &mut Context<Self>,
    ) {
        let Some(attached) = self.attached.get(&link) else { return self.abandon(name, link) };
        let (outbound, session) = (attached.outbound.clone(), attached.session.clone());
        let user = attached.profile.user.clone();
        let end = Position { seq: inbox.end, ..inbox.seen };
        let event = Event::Welcome {
            session: &session,
            user: &user,
            node: &welcome.node,
            heartbeat_interval: welcome.heartbeat_interval,
            heartbeat_timeout: welcome.heartbeat_timeout,
            expires_at: welcome.expires_at,
            limits: welcome.limits,
            inbox: inbox.seen,
        };
        outbound.queue_answer(&event);
        let Some((cursor, after)) = self.arrived(name, link, end, ctx) else {
            // The log began anew, or too much came, in the moment since the inbox was
            // read. What the client is owed is read when it comes back.
            outbound.close(Farewell::SlowConsumer, true);
            return self.abandon(name, link);
        };
        let Some(room) = self.rooms.get_mut(name) else { return };
        for publication in inbox.unseen.iter().chain(&after) {
            queue_entry(&outbound, publication, publication.author.user.as_ref() == Some(&user));
        }
        outbound.release();
        let user_hash = user_hash(&user);
        let protocol = outbound.protocol();
        room.seat(Seat {
            outbound,
            protocol,
            user,
            user_hash,
            session,
            cursor,
            generation: 0,
            sees: Sees { presence: false, history: false },
        });
    }

    /// A session that joins was gone before its join was done.
    fn abandon(&mut self, name: &RoomName, link: LinkId) {
        self.unseat(name, link);
    }

    /// Takes a session out of the fan-out, and lets the room go if it was the
    /// last one.
    pub(super) fn unseat(&mut self, name: &RoomName, link: LinkId) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.remove(link);
        }
        self.leave_if_deserted(name);
    }

    /// A session that joins cannot.
    pub(super) fn give_up(&mut self, entrant: Entrant, problem: Problem) {
        let Entrant { link, room, done, .. } = entrant;
        if let Some(attached) = self.attached.get_mut(&link) {
            attached.rooms.remove(&room);
        }
        self.abandon(&room, link);
        let _ = done.send(Err(problem.in_room(&room)));
    }

    fn fail(&mut self, name: &RoomName, waiting: Waiting, unavailable: Unavailable) {
        // It may have been a member, joining anew.
        if let Waiting::Join(Entrant { link, .. }) = &waiting
            && let Some(attached) = self.attached.get_mut(link)
            && attached.rooms.remove(name)
        {
            self.presence.say(presence::Request::Untrack { link: *link, room: name.clone() });
        }
        self.abandon(name, waiting.link());
        waiting.fail(Problem::from(unavailable).in_room(name));
    }
}

/// Queues an entry of a log for one session.
fn queue_entry(outbound: &Rc<Outbound>, publication: &Publication, own: bool) {
    outbound.queue_reply(&Event::Published { publication, own });
}
