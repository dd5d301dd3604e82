use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use log::{error, warn};
use tokio::sync::oneshot;

use super::{
    fanout::{Accepted, Room},
    join::{Entrant, Waiting},
    requests::{Attach, Detach, Join, Leave, ListMembers, Regrant},
    watch::Watchers,
};
use crate::{
    broker::{Broker, Delivery, Snapshot, Start, Subscriber},
    config,
    model::{Code, LinkId, Member, Problem, Profile, RoomName, SessionId, WorkerId},
    outbound::Outbound,
    presence::{self, News, PresenceSupervisor, Ticket},
    wire::{Event, RequestId, encode},
};

/// The outbound queues of a worker's connections. They never leave their
/// thread; messages name them by their [`LinkId`].
pub type Links = Rc<RefCell<AHashMap<LinkId, Rc<Outbound>>>>;

/// At most so many messages wait for a worker. Past that the broker's are let
/// go, which the worker notices and repairs from the log; signals and signs of
/// typing among them are lost.
const MAILBOX: usize = 16 * 1024;

/// How long a client should wait before it asks again what the broker could
/// not be asked.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many of the newest messages a member gets when the log was lost.
const RESTART_PAGE: usize = 50;

/// A connection as the supervisor knows it.
pub(super) struct Attached {
    pub(super) outbound: Rc<Outbound>,
    pub(super) session: SessionId,
    pub(super) profile: Arc<Profile>,
    /// The rooms it is a member of, its inbox left out.
    pub(super) rooms: AHashSet<RoomName>,
}

/// What presence was asked for, by ticket.
pub(super) enum Question {
    /// Who is there, for a session that joins.
    Join(Entrant, Snapshot),
    /// Who is there, for a session that asked.
    Members(LinkId, Option<RequestId>, RoomName),
    /// Who is there, for all members of a room whose log was lost.
    Restart(RoomName, Snapshot),
    /// How the watched users are.
    Watch(LinkId, Option<RequestId>),
}

/// The actor that holds the rooms of one worker.
pub struct RoomSupervisor {
    pub(super) worker: WorkerId,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Addr<PresenceSupervisor>,
    /// How the broker sees this actor; set when it starts.
    pub(super) subscriber: Option<Subscriber>,
    pub(super) links: Links,
    pub(super) attached: AHashMap<LinkId, Attached>,
    pub(super) rooms: AHashMap<RoomName, Room>,
    /// Who waits for a room to be subscribed.
    pub(super) waiting: AHashMap<RoomName, Vec<Waiting>>,
    pub(super) questions: AHashMap<Ticket, Question>,
    last_ticket: u64,
    pub(super) watchers: Watchers,
    coalesce: Duration,
    watched_users: usize,
    /// Rooms with messages that leave at the end of this turn.
    live: AHashSet<RoomName>,
    /// Rooms with latest values that wait.
    latest: AHashSet<RoomName>,
    /// Whether the end of this turn is planned already.
    turn_ends: bool,
    /// Whether the next latest values have their timer.
    timer: bool,
}

/// The mailbox is empty: what the turn brought leaves now, joined.
#[derive(Message)]
#[rtype(result = "()")]
struct EndTurn;

impl RoomSupervisor {
    /// The supervisor of one worker's rooms; `links` has the queues of the
    /// worker's connections.
    pub fn new(
        broker: Arc<dyn Broker>,
        presence: Addr<PresenceSupervisor>,
        links: Links,
        outbound: &config::Outbound,
        limits: &config::Limits,
    ) -> Self {
        Self {
            worker: WorkerId::next(),
            broker,
            presence,
            subscriber: None,
            links,
            attached: AHashMap::new(),
            rooms: AHashMap::new(),
            waiting: AHashMap::new(),
            questions: AHashMap::new(),
            last_ticket: 0,
            watchers: Watchers::default(),
            coalesce: outbound.coalesce,
            watched_users: limits.watched_users,
            live: AHashSet::new(),
            latest: AHashSet::new(),
            turn_ends: false,
            timer: false,
        }
    }

    pub(super) fn watched_users(&self) -> usize {
        self.watched_users
    }

    pub(super) fn ticket(&mut self, question: Question) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.questions.insert(ticket, question);
        ticket
    }

    pub(super) fn end_turn_later(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.turn_ends, true) {
            ctx.notify(EndTurn);
        }
    }

    /// Lets go of a room that nobody on this worker needs any more.
    pub(super) fn leave_if_deserted(&mut self, name: &RoomName) {
        let deserted = self.rooms.get(name).is_some_and(Room::is_deserted);
        if deserted && !self.waiting.contains_key(name) {
            self.rooms.remove(name);
            self.broker.unsubscribe(name, self.worker);
        }
    }

    fn accepted(&mut self, accepted: Accepted, room: &RoomName, ctx: &mut Context<Self>) {
        match accepted {
            Accepted::Live => {
                if !self.live.contains(room) {
                    self.live.insert(room.clone());
                }
            }
            Accepted::Latest => {
                if !self.latest.contains(room) {
                    self.latest.insert(room.clone());
                }
            }
            Accepted::Nothing => {}
            Accepted::Gap => self.repair(room, ctx),
        }
        self.end_turn_later(ctx);
    }

    /// Reads from the log what the fan-out of a room is missing.
    fn repair(&mut self, name: &RoomName, ctx: &mut Context<Self>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(known) = room.position() else { return };
        if !room.begin_repair() {
            return;
        }
        let start = Start::After { known: Some(known), otherwise: RESTART_PAGE };
        let broker = self.broker.clone();
        let asked = name.clone();
        let name = name.clone();
        let read = async move { broker.snapshot(&asked, start).await };
        ctx.spawn(read.into_actor(self).map(move |snapshot, act, ctx| match snapshot {
            Ok(snapshot) if snapshot.recovered => {
                let Some(room) = act.rooms.get_mut(&name) else { return };
                let behind = room.repaired(&snapshot.messages);
                // Sets may be among them; what has nothing waiting costs nothing.
                act.latest.insert(name.clone());
                act.accepted(Accepted::Live, &name, ctx);
                if behind {
                    act.repair(&name, ctx);
                }
            }
            Ok(snapshot) => act.restart(name, snapshot),
            Err(unavailable) => {
                warn!("the log of a room could not be read to fill a gap: {unavailable}");
                ctx.run_later(RETRY_AFTER, move |act, ctx| {
                    if let Some(room) = act.rooms.get_mut(&name) {
                        room.repaired(&[]);
                        act.repair(&name, ctx);
                    }
                });
            }
        }));
    }

    /// The log does not reach back: members are told so with a fresh `joined`.
    fn restart(&mut self, room: RoomName, snapshot: Snapshot) {
        let worker = self.worker;
        let ticket = self.ticket(Question::Restart(room.clone(), snapshot));
        self.presence.do_send(presence::WhoIs { ticket, worker, room });
    }

    fn restarted(
        &mut self,
        name: &RoomName,
        snapshot: &Snapshot,
        members: &[Member],
        count: usize,
        ctx: &mut Context<Self>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let behind = room.restarted(snapshot.position);
        // An inbox has no members to be told; what is unseen comes with the
        // next `welcome`.
        if !name.is_inbox() {
            for seat in room.seats() {
                let (members, count) =
                    if seat.sees_presence { (members, count) } else { (&[][..], count) };
                let event = Event::Joined {
                    id: None,
                    room: name,
                    position: snapshot.position,
                    recovered: false,
                    messages: &snapshot.messages,
                    viewer: &seat.user,
                    members,
                    count,
                    state: &snapshot.state,
                };
                seat.outbound.forget_room(name);
                seat.outbound.send_live(&encode(seat.outbound.protocol(), &event), 1);
            }
        }
        if behind {
            self.repair(name, ctx);
        }
    }

    /// Sends what this turn brought, and the latest values whose time has come.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        for name in self.live.drain() {
            if let Some(room) = self.rooms.get_mut(&name) {
                room.flush_live();
            }
        }
        if !self.latest.is_empty() || self.watchers.waits() {
            self.flush_latest(ctx);
        }
        if self.subscriber.as_ref().is_some_and(Subscriber::take_lagged) {
            warn!("this worker fell behind; its rooms are compared with their logs");
            let names: Vec<RoomName> = self.rooms.keys().cloned().collect();
            for name in names {
                self.repair(&name, ctx);
            }
        }
    }

    fn flush_latest(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let rooms = &mut self.rooms;
        let coalesce = self.coalesce;
        self.latest.retain(|name| {
            let Some(room) = rooms.get_mut(name) else { return false };
            match room.latest_due() {
                None => false,
                Some(Some(at)) if at > now => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    true
                }
                Some(_) => {
                    room.flush_latest(now, coalesce);
                    false
                }
            }
        });
        if let Some(at) = self.watchers.flush(now, coalesce, &self.attached) {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        if let Some(next) = next
            && !std::mem::replace(&mut self.timer, true)
        {
            ctx.run_later(next.saturating_duration_since(now), |act, ctx| {
                act.timer = false;
                act.flush(ctx);
            });
        }
    }

    pub(super) fn outbound(&self, link: LinkId) -> Option<&Rc<Outbound>> {
        self.attached.get(&link).map(|attached| &attached.outbound)
    }
}

impl Actor for RoomSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let worker = self.worker;
        self.subscriber = Some(Subscriber::new(worker, ctx.address().recipient()));
        self.presence.do_send(presence::Register { worker, news: ctx.address().recipient() });
    }
}

impl Handler<Delivery> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, delivery: Delivery, ctx: &mut Self::Context) {
        match delivery {
            Delivery::Published(publication) => {
                let Some(room) = self.rooms.get_mut(&publication.room) else { return };
                let accepted = room.publish(&publication);
                self.accepted(accepted, &publication.room, ctx);
            }
            Delivery::Transient(name, transient) => {
                let Some(room) = self.rooms.get_mut(&name) else { return };
                let accepted = room.relay(&transient);
                self.accepted(accepted, &name, ctx);
            }
        }
    }
}

impl Handler<EndTurn> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, EndTurn: EndTurn, ctx: &mut Self::Context) {
        self.turn_ends = false;
        self.flush(ctx);
    }
}

impl Handler<News> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, news: News, ctx: &mut Self::Context) {
        match news {
            News::Members { ticket, members, count } => match self.questions.remove(&ticket) {
                Some(Question::Join(entrant, snapshot)) => {
                    self.complete_join(entrant, snapshot, &members, count, ctx);
                }
                Some(Question::Members(link, id, room)) => {
                    if let Some(outbound) = self.outbound(link) {
                        let (id, room) = (id.as_ref(), &room);
                        let event = Event::Members { id, room, members: &members, count };
                        outbound.queue_reply(encode(outbound.protocol(), &event));
                        outbound.flush();
                    }
                }
                Some(Question::Restart(room, snapshot)) => {
                    self.restarted(&room, &snapshot, &members, count, ctx);
                }
                Some(Question::Watch(..)) | None => {}
            },
            News::RoomFull { ticket } => {
                if let Some(Question::Join(entrant, _)) = self.questions.remove(&ticket) {
                    let message = "the room holds as many sessions as it may";
                    self.give_up(entrant, Problem::new(Code::RoomFull, message));
                }
            }
            News::Watched { ticket, users } => {
                if let Some(Question::Watch(link, id)) = self.questions.remove(&ticket)
                    && let Some(outbound) = self.outbound(link)
                {
                    let event = Event::Online { id: id.as_ref(), users: &users };
                    outbound.queue_reply(encode(outbound.protocol(), &event));
                    outbound.flush();
                }
            }
            News::Changed { room: name, changes } => {
                if let Some(room) = self.rooms.get_mut(&name) {
                    room.presence(&changes);
                    self.accepted(Accepted::Latest, &name, ctx);
                }
            }
            News::Online { user, availability } => {
                self.watchers.changed(user, availability);
                self.end_turn_later(ctx);
            }
        }
    }
}

impl Handler<Attach> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(&mut self, attach: Attach, ctx: &mut Self::Context) -> Self::Result {
        let Attach { link, session, profile, welcome } = attach;
        let (done, answer) = oneshot::channel();
        let outbound = self.links.borrow().get(&link).cloned();
        if let Some(outbound) = outbound {
            let inbox = RoomName::inbox(&profile.user);
            let (worker, known) = (self.worker, profile.clone());
            self.presence.do_send(presence::Connect { link, worker, profile: known });
            let attached = Attached { outbound, session, profile, rooms: AHashSet::new() };
            self.attached.insert(link, attached);
            self.enter(inbox, Waiting::Attach { link, welcome: Box::new(welcome), done }, ctx);
        }
        settled(answer)
    }
}

impl Handler<Join> for RoomSupervisor {
    type Result = ResponseFuture<Result<(), Problem>>;

    fn handle(&mut self, join: Join, ctx: &mut Self::Context) -> Self::Result {
        let Join { link, id, room, start, sees_presence } = join;
        let (done, answer) = oneshot::channel();
        let entrant = Entrant { link, id, room: room.clone(), start, sees_presence, done };
        self.enter(room, Waiting::Join(entrant), ctx);
        settled(answer)
    }
}

/// The answer to a request, once it is there. Where the request was let go of,
/// its session is gone and nobody reads this.
fn settled(answer: oneshot::Receiver<Result<(), Problem>>) -> ResponseFuture<Result<(), Problem>> {
    Box::pin(async move {
        answer.await.unwrap_or_else(|_| {
            Err(Problem::new(Code::Unavailable, "the connection is over").retry_after(RETRY_AFTER))
        })
    })
}

impl Handler<Leave> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Leave { link, id, room: name }: Leave, _: &mut Self::Context) {
        let Some(attached) = self.attached.get_mut(&link) else { return };
        if attached.rooms.remove(&name) {
            self.presence.do_send(presence::Untrack { link, room: name.clone() });
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.remove(link);
        }
        let outbound = &attached.outbound;
        outbound.forget_room(&name);
        let event = Event::Left { id: id.as_ref(), room: &name };
        outbound.queue_reply(encode(outbound.protocol(), &event));
        outbound.flush();
        self.leave_if_deserted(&name);
    }
}

impl Handler<Detach> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Detach { link }: Detach, _: &mut Self::Context) {
        let Some(attached) = self.attached.remove(&link) else { return };
        self.presence.do_send(presence::Disconnect { link });
        for user in self.watchers.forget(link) {
            self.presence.do_send(presence::Unwatch { worker: self.worker, user });
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
    type Result = ();

    fn handle(&mut self, ListMembers { link, id, room }: ListMembers, _: &mut Self::Context) {
        let worker = self.worker;
        let ticket = self.ticket(Question::Members(link, id, room.clone()));
        self.presence.do_send(presence::WhoIs { ticket, worker, room });
    }
}

impl Handler<Regrant> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, regrant: Regrant, _: &mut Self::Context) {
        if let Some(room) = self.rooms.get_mut(&regrant.room) {
            room.regrant(regrant.link, regrant.sees_presence);
        }
    }
}

/// Rooms vanish with their supervisor; its sessions find out by their next request.
impl Drop for RoomSupervisor {
    fn drop(&mut self) {
        for name in self.rooms.keys() {
            self.broker.unsubscribe(name, self.worker);
        }
        if std::thread::panicking() {
            error!("a room supervisor ended by a panic; its sessions are closed");
            for attached in self.attached.values() {
                attached.outbound.close(crate::model::Farewell::Internal, false);
            }
        }
    }
}
