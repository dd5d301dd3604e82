use std::{
    cell::RefCell,
    mem,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use log::{error, warn};

use super::{
    comparison::DeliveryComparison,
    fanout::{Accepted, Room},
    join::{Done, Entrant, Opening, Waiting},
    repair::RepairId,
    watch::Watchers,
};
use crate::{
    broker::{
        Broker, DeliveriesReady, Delivery, DeliveryQueues, Snapshot, Subscriber, Unavailable,
        WakeBatch,
    },
    config,
    metrics::{Metrics, RepairCause, WorkerMetrics},
    model::{Code, Farewell, LinkId, Problem, Profile, RoomName, SessionId, WorkerId},
    outbound::Outbound,
    presence::{self, News, Ticket},
    trace::Traces,
    wire::{Event, RequestId},
};

/// The outbound queues of a worker's connections. They never leave their
/// thread; messages name them by their [`LinkId`].
pub type Links = Rc<RefCell<AHashMap<LinkId, Rc<Outbound>>>>;

/// At most so many messages of presence wait for a worker, and as many of the broker. Past
/// that log entries are dropped, which the worker repairs from the log, and of signals and
/// signs of typing the last values are kept.
const MAILBOX: usize = 16 * 1024;

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
    Members(LinkId, Option<RequestId>, RoomName, Done),
    /// Who is there, for all members of a room whose log was lost.
    Restart(RoomName, RepairId, Snapshot),
    /// How the watched users are.
    Watch(LinkId, Option<RequestId>, Done),
}

/// The actor that holds the rooms of one worker.
pub struct RoomSupervisor {
    pub(super) worker: WorkerId,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: presence::Line,
    /// The delivery queues of all workers.
    queues: Arc<DeliveryQueues>,
    /// This worker's delivery queue; None until the actor starts.
    pub(super) subscriber: Option<Subscriber>,
    /// Room for what the delivery queue holds, used again.
    drained: Vec<Delivery>,
    pub(super) comparison: DeliveryComparison,
    pub(super) links: Links,
    pub(super) attached: AHashMap<LinkId, Attached>,
    /// Connections that are about to begin.
    pub(super) opening: AHashMap<LinkId, Opening>,
    /// Boxed, as most of a table's places are empty.
    pub(super) rooms: AHashMap<RoomName, Box<Room>>,
    /// Who waits for a room to be subscribed.
    pub(super) waiting: AHashMap<RoomName, Vec<Waiting>>,
    pub(super) questions: AHashMap<Ticket, Question>,
    last_ticket: u64,
    pub(super) watchers: Watchers,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Arc<Traces>,
    /// What this worker counts.
    pub(super) counts: Arc<WorkerMetrics>,
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
    #[expect(clippy::too_many_arguments, reason = "one for each part of the node that rooms use")]
    pub fn new(
        broker: Arc<dyn Broker>,
        queues: Arc<DeliveryQueues>,
        presence: presence::Line,
        links: Links,
        settings: &config::Settings,
        metrics: Arc<Metrics>,
        traces: Arc<Traces>,
        counts: Arc<WorkerMetrics>,
    ) -> Self {
        Self {
            worker: WorkerId::next(),
            broker,
            presence,
            queues,
            subscriber: None,
            drained: Vec::new(),
            comparison: DeliveryComparison::default(),
            links,
            attached: AHashMap::new(),
            opening: AHashMap::new(),
            rooms: AHashMap::new(),
            waiting: AHashMap::new(),
            questions: AHashMap::new(),
            last_ticket: 0,
            watchers: Watchers::default(),
            metrics,
            traces,
            counts,
            coalesce: settings.outbound.coalesce,
            watched_users: settings.limits.watched_users,
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
        if !mem::replace(&mut self.turn_ends, true) {
            ctx.notify(EndTurn);
        }
    }

    /// Lets go of a room that nobody on this worker needs any more.
    pub(super) fn leave_if_deserted(&mut self, name: &RoomName) {
        let deserted = self.rooms.get(name).is_some_and(|room| room.is_deserted());
        if deserted && !self.waiting.contains_key(name) {
            self.rooms.remove(name);
            self.broker.unsubscribe(name, self.worker);
        }
    }

    pub(super) fn accepted(
        &mut self,
        accepted: Accepted,
        room: &RoomName,
        ctx: &mut Context<Self>,
    ) {
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
            Accepted::Gap => self.repair(room, RepairCause::Gap, ctx),
        }
        self.end_turn_later(ctx);
    }

    /// Whether no delivery waits.
    pub(super) fn queue_is_empty(&self) -> bool {
        self.subscriber.as_ref().is_none_or(Subscriber::is_empty)
    }

    /// Takes all that waits in the delivery queue. Returns whether a probe was among it.
    fn drain_queue(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some(subscriber) = &self.subscriber else { return false };
        let mut drained = mem::take(&mut self.drained);
        subscriber.drain_into(&mut drained);
        self.comparison.note_drain();
        let mut probed = false;
        for delivery in drained.drain(..) {
            probed |= matches!(delivery, Delivery::Probe);
            self.take(delivery, ctx);
        }
        self.drained = drained;
        self.end_turn_later(ctx);
        probed
    }

    /// Takes what waits though nothing woke this worker. That answers no probe: a probe
    /// shows that wake-ups arrive.
    pub(super) fn drain_without_wake_up(&mut self, ctx: &mut Context<Self>) {
        if self.drain_queue(ctx)
            && let Some(subscriber) = &self.subscriber
        {
            subscriber.probe_again();
        }
    }

    /// The broker hands something on.
    fn take(&mut self, delivery: Delivery, ctx: &mut Context<Self>) {
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
            Delivery::End(name, end) => {
                let Some(room) = self.rooms.get_mut(&name) else { return };
                match room.reaches(end) {
                    Accepted::Gap => self.repair(&name, RepairCause::Subscription, ctx),
                    accepted => self.accepted(accepted, &name, ctx),
                }
            }
            Delivery::Probe => {}
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
        if self.subscriber.as_ref().is_some_and(Subscriber::take_overflowed) {
            self.metrics.workers_lagged.inc();
            let (worker, rooms) = (&self.counts.name, self.rooms.len());
            warn!(
                "delivery queue full; reading all rooms from their logs (worker={worker}, rooms={rooms})"
            );
            let names: Vec<RoomName> = self.rooms.keys().cloned().collect();
            for name in names {
                self.repair(&name, RepairCause::Overflow, ctx);
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
        if let Some(at) = self.watchers.flush(now, coalesce, &self.attached, &self.counts) {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        if let Some(next) = next
            && !mem::replace(&mut self.timer, true)
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
        let name = self.counts.name.clone();
        let queue = self.queues.open(name, worker, MAILBOX, ctx.address().recipient());
        queue.batch_wake_ups();
        self.subscriber = Some(queue);
        self.start_comparison(ctx);
        let news = ctx.address().recipient();
        self.presence.actor().do_send(presence::Register { worker, news });
    }
}

impl Handler<DeliveriesReady> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, DeliveriesReady: DeliveriesReady, ctx: &mut Self::Context) {
        // Early, so that the other workers write to their members while this one does.
        WakeBatch::flush();
        if self.drain_queue(ctx)
            && let Some(subscriber) = &self.subscriber
        {
            subscriber.answer_probe();
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
                Some(Question::Members(link, id, room, done)) => {
                    if let Some(outbound) = self.outbound(link) {
                        let (id, room) = (id.as_ref(), &room);
                        let event = Event::Members { id, room, members: &members, count };
                        outbound.queue_reply(&event);
                        outbound.flush();
                    }
                    let _ = done.send(Ok(()));
                }
                Some(Question::Restart(room, repair, snapshot)) => {
                    self.restarted(&room, repair, &snapshot, &members, count, ctx);
                }
                Some(Question::Watch(..)) | None => {}
            },
            News::RoomFull { ticket } => {
                if let Some(Question::Join(entrant, _)) = self.questions.remove(&ticket) {
                    let message = "the room holds as many sessions as it may";
                    self.give_up(entrant, Problem::new(Code::RoomFull, message));
                }
            }
            News::Unreachable { ticket } => {
                let problem = Problem::from(Unavailable::Unreachable);
                match self.questions.remove(&ticket) {
                    Some(Question::Join(entrant, _)) => self.give_up(entrant, problem),
                    Some(Question::Members(_, _, room, done)) => {
                        let _ = done.send(Err(problem.in_room(&room)));
                    }
                    // Nobody of this node is in the room, so nobody is told.
                    Some(Question::Restart(room, repair, snapshot)) => {
                        self.restarted(&room, repair, &snapshot, &[], 0, ctx);
                    }
                    Some(Question::Watch(_, _, done)) => {
                        let _ = done.send(Err(problem));
                    }
                    None => {}
                }
            }
            News::Watched { ticket, users } => {
                if let Some(Question::Watch(link, id, done)) = self.questions.remove(&ticket)
                    && let Some(outbound) = self.outbound(link)
                {
                    let event = Event::Online { id: id.as_ref(), users: &users };
                    outbound.queue_reply(&event);
                    outbound.flush();
                    let _ = done.send(Ok(()));
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

/// Rooms vanish with their supervisor, by a panic alone: its sessions are closed,
/// come back and resume.
impl Drop for RoomSupervisor {
    fn drop(&mut self) {
        WakeBatch::remove();
        self.queues.close(self.worker);
        for name in self.rooms.keys() {
            self.broker.unsubscribe(name, self.worker);
        }
        if std::thread::panicking() {
            self.metrics.parts_restarted.count("rooms");
            error!("a room supervisor ended by a panic; its sessions are closed");
        }
        for attached in self.attached.values() {
            attached.outbound.close(Farewell::Internal, false);
        }
        self.presence.flush();
        let gone = self.attached.keys().map(|link| presence::Request::Disconnect { link: *link });
        self.presence.actor().do_send(presence::Requests(gone.collect()));
    }
}
