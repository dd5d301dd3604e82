use std::{
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::AHashSet;

use super::{
    gate::Gate,
    heartbeat::{Beat, Heartbeat, on_grid},
    inbound::Arrival,
    opening::Unwelcomed,
    rate::{RateLimit, Verdict},
    registry::{End, Permit},
    seed::{Role, Seed},
    services::Services,
    tracing::Tracing,
    worker::Worker,
};
use crate::{
    auth::Identity,
    model::{
        CallId, Code, Farewell, LinkId, Problem, RoomName, Timestamp, Transport, What, unique_u64,
        wall_clock,
    },
    net::Socket,
    outbound::{Flow, Outbound},
    room,
    wire::{CommandKind, Event, Frame, Incoming, Protocol, command, frame},
};

/// At most so many requests of one session wait for the one before them; past
/// that the socket is not read.
pub(super) const REQUESTS: usize = 32;

/// How long the close handshake may take.
const LINGER: Duration = Duration::from_secs(5);

/// The same for a client that was silent, of which nothing is to be expected.
const LINGER_SILENT: Duration = Duration::from_millis(500);

/// A session found silent is given so long to be proved wrong: after a pause of
/// the whole process its frames may lie unread in the socket.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// How long before its end a token is asked to be renewed, at most.
const RENEWAL: Timestamp = 30_000;

/// The longest a timer is set for; what is farther away is looked at again.
const LONGEST_TIMER: Duration = Duration::from_secs(24 * 3600);

/// The actor of one socket.
pub struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) outbound: Rc<Outbound>,
    socket: Rc<Socket>,
    pub(super) gate: Rc<Gate>,
    pub(super) permit: Permit,
    /// None for an echo, and for who traces.
    pub(super) member: Option<Member>,
    /// For who traces.
    pub(super) tracing: Option<Box<Tracing>>,
    rate: RateLimit,
    heartbeat: Heartbeat,
    /// Whether the heartbeat found the client silent once already.
    suspect: bool,
    requests: VecDeque<Incoming>,
    /// Whether a request is being answered; the others wait, so that what one
    /// session writes keeps its order.
    busy: bool,
    pub(super) ending: Option<Farewell>,
    /// Whether the socket ended before a farewell was said.
    pub(super) lost: bool,
    pub(super) began: Instant,
    /// How many messages came, and how many bytes.
    pub(super) received: (u64, u64),
    /// The request that it came by.
    call: CallId,
}

/// What a user's session knows of itself.
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) rooms: AHashSet<RoomName>,
    /// How often it became a member of a room.
    pub(super) joins: u64,
    expiry: Option<SpawnHandle>,
    /// None once `welcome` is in the outbound queue.
    pub(super) unwelcomed: Option<Unwelcomed>,
}

impl Session {
    pub(super) fn new(
        seed: Seed,
        worker: Rc<Worker>,
        socket: Rc<Socket>,
        outbound: Rc<Outbound>,
        gate: Rc<Gate>,
    ) -> Self {
        worker.services.metrics.opened.inc();
        let now = Instant::now();
        let settings = &worker.services.settings;
        let beat = &settings.heartbeat;
        let rate = RateLimit::new(settings.limits.messages_per_second, now);
        // Half an interval at least: a client just came, it is alive.
        let share = 0.5 + f64::from(unique_u64() as u32) / f64::from(u32::MAX) / 2.0;
        let heartbeat = Heartbeat::new(beat.interval, beat.timeout, share, now);
        let (member, requests, tracing) = match seed.role {
            Role::Member { identity, requests, inbox } => {
                let (identity, rooms) = (*identity, AHashSet::new());
                let unwelcomed = Some(Unwelcomed::new(inbox));
                let member = Member { identity, rooms, joins: 0, expiry: None, unwelcomed };
                (Some(member), requests.into(), None)
            }
            Role::Echo => (None, VecDeque::new(), None),
            Role::Trace { admit, place } => {
                (None, VecDeque::new(), Some(Box::new(Tracing::new(admit, place))))
            }
        };
        Self {
            worker,
            outbound,
            socket,
            gate,
            permit: seed.permit,
            member,
            tracing,
            rate,
            heartbeat,
            suspect: false,
            requests,
            busy: false,
            ending: None,
            lost: false,
            began: now,
            received: (0, 0),
            call: seed.call,
        }
    }

    pub(super) fn services(&self) -> &Arc<Services> {
        &self.worker.services
    }

    /// The request that it came by.
    pub(super) fn call(&self) -> &CallId {
        &self.call
    }

    pub(super) fn link(&self) -> LinkId {
        self.permit.link()
    }

    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Queues an answer. It is written when the frames that came with its
    /// request are handled too, or when [`done`](Self::done) says so.
    pub(super) fn reply(&self, event: &Event<'_>) {
        self.outbound.queue_reply(event);
    }

    /// The same in the control lane, before what the rooms say.
    pub(super) fn answer(&self, event: &Event<'_>) {
        self.outbound.queue_answer(event);
    }

    pub(super) fn notice(&self, event: &Event<'_>) {
        self.outbound.queue_notice(event);
    }

    /// A request came: it is answered now, or waits for the one before it.
    pub(super) fn receive(&mut self, text: &str, ctx: &mut Context<Self>) {
        let incoming = command::parse(text);
        self.received = (self.received.0 + 1, self.received.1 + text.len() as u64);
        self.worker.metrics.received(CommandKind::of(&incoming.command), text.len());
        match self.rate.judge(Instant::now()) {
            Verdict::Pass => {}
            Verdict::Refuse(wait) => {
                self.services().metrics.rate_limited.inc();
                let limit = self.services().settings.limits.messages_per_second;
                let message = format!("more than {limit} messages a second");
                let problem = Problem::new(Code::RateLimited, message).retry_after(wait);
                self.trace(None, || What::from(&problem));
                self.answer(&Event::Error { id: incoming.id.as_ref(), problem: &problem });
                return;
            }
            Verdict::Expel => return self.end(Farewell::RateLimited, false, ctx),
        }
        if self.busy || !self.requests.is_empty() {
            self.requests.push_back(incoming);
            self.gate.set_full(self.requests.len() >= REQUESTS);
        } else {
            self.execute(incoming.id, incoming.command, ctx);
        }
    }

    /// Whether so many more requests are not to be taken now; the session of a
    /// client whose socket is read reads on when it is.
    pub(super) fn is_busy_for(&self, requests: usize) -> bool {
        if self.outbound.congested() {
            self.gate.set_congested(true);
        }
        self.ending.is_some() || self.gate.is_shut() || self.requests.len() + requests > REQUESTS
    }

    /// A request is being answered; [`done`](Self::done) ends it.
    pub(super) fn begin(&mut self) {
        self.busy = true;
    }

    /// The request is answered: writes the answer and turns to the next one.
    pub(super) fn done(&mut self, ctx: &mut Context<Self>) {
        self.busy = false;
        self.next(ctx);
        // Answers to requests that came together share a write.
        if !self.busy {
            self.outbound.flush();
        }
    }

    fn next(&mut self, ctx: &mut Context<Self>) {
        while !self.busy && self.ending.is_none() {
            if self.outbound.congested() {
                self.gate.set_congested(true);
                self.outbound.wake();
                return;
            }
            let Some(Incoming { id, command }) = self.requests.pop_front() else { break };
            self.execute(id, command, ctx);
        }
        if self.requests.len() < REQUESTS && self.gate.is_shut() {
            self.gate.set_full(false);
            self.outbound.wake();
        }
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.ending.is_some() {
            return;
        }
        let now = Instant::now();
        // A client that is not read cannot be heard, and one that only listens
        // says nothing: it is over when it takes nothing, or its connection ends.
        let protocol = self.outbound.protocol();
        if self.gate.is_shut() || !protocol.is_answered() {
            self.heard();
        }
        let settings = &self.services().settings.heartbeat;
        let (interval, patience) = (settings.interval, settings.patience());
        let stalled = self.outbound.blocked_since().is_some_and(|since| now >= since + patience);
        let next = match self.heartbeat.beat(now) {
            _ if stalled => return self.end(Farewell::HeartbeatTimeout, false, ctx),
            Beat::Silent if self.suspect => {
                return self.end(Farewell::HeartbeatTimeout, false, ctx);
            }
            Beat::Silent => {
                self.suspect = true;
                now + LAST_CHANCE
            }
            Beat::Ping(next) => {
                self.outbound.queue_sign(protocol.heartbeat());
                self.outbound.flush();
                next
            }
            Beat::Wait(next) => next,
        };
        let gives_up = self.outbound.blocked_since().map(|since| since + patience);
        let next = on_grid(gives_up.map_or(next, |at| next.min(at)), interval);
        ctx.run_later(next.saturating_duration_since(now), Self::beat);
    }

    fn heard(&mut self) {
        self.heartbeat.heard();
        self.suspect = false;
    }

    /// Sets the timers for the end of the token, and for the word before it.
    pub(super) fn watch_expiry(&mut self, ctx: &mut Context<Self>) {
        let Some(member) = &mut self.member else { return };
        if let Some(timer) = member.expiry.take() {
            ctx.cancel_future(timer);
        }
        let Some(expires_at) = member.identity.expires_at else { return };
        let left = expires_at.saturating_sub(wall_clock());
        let notice = left.saturating_sub(RENEWAL.min(left / 2));
        let timer = run_at(ctx, notice, move |act, ctx| {
            let left = expires_at.saturating_sub(wall_clock());
            act.notice(&Event::Reauthenticate { expires_at, in_ms: left });
            act.outbound.flush();
            let timer = run_at(ctx, left, |act, ctx| act.end(Farewell::TokenExpired, true, ctx));
            if let Some(member) = &mut act.member {
                member.expiry = Some(timer);
            }
        });
        if let Some(member) = &mut self.member {
            member.expiry = Some(timer);
        }
    }

    /// The connection is to end: the session leaves its rooms at once, the
    /// socket follows when the close handshake is done or its time is over.
    /// With `keep`, what waits is written first.
    pub(super) fn end(&mut self, farewell: Farewell, keep: bool, ctx: &mut Context<Self>) {
        if let Some(unwelcomed) = self.unwelcomed() {
            unwelcomed.ending.get_or_insert(End { farewell, reconnect_after: None });
            return;
        }
        if self.ending.replace(farewell).is_some() {
            return;
        }
        self.detach();
        self.requests.clear();
        self.outbound.close(farewell, keep);
        let linger = match farewell {
            Farewell::HeartbeatTimeout => LINGER_SILENT,
            _ => LINGER,
        };
        ctx.run_later(linger, |_, ctx| ctx.stop());
    }

    pub(super) fn transport(&self) -> Transport {
        match self.outbound.protocol() {
            Protocol::Json => Transport::Websocket,
            Protocol::Events => Transport::Events,
        }
    }

    fn detach(&self) {
        if self.worker.links.borrow_mut().remove(&self.link()).is_some() {
            self.worker.rooms.do_send(room::Detach { link: self.link() });
        }
    }
}

/// Runs `act` after so many milliseconds, however many they are.
fn run_at(
    ctx: &mut Context<Session>,
    millis: u64,
    act: impl FnOnce(&mut Session, &mut Context<Session>) + 'static,
) -> SpawnHandle {
    let whole = Duration::from_millis(millis);
    if whole <= LONGEST_TIMER {
        return ctx.run_later(whole, act);
    }
    // Tokens that last for years: look again tomorrow.
    ctx.run_later(LONGEST_TIMER, |session, ctx| session.watch_expiry(ctx))
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let posts = match self.outbound.protocol() {
            Protocol::Json => None,
            Protocol::Events => Some(ctx.address().recipient()),
        };
        self.permit.register(ctx.address().recipient(), posts);
        self.attach(ctx);
        self.begin_tracing(ctx);
        self.beat(ctx);
    }
}

/// Also after a panic of a handler: the client is told, and nothing stays.
impl Drop for Session {
    fn drop(&mut self) {
        self.detach();
        self.outbound.close(Farewell::Internal, false);
        if self.outbound.flow() == Flow::Blocked {
            self.socket.let_go();
        }
        self.outbound.abandon();
        let lasted = self.began.elapsed();
        self.services().metrics.closed(self.reason(), lasted);
        self.trace(None, || What::Ended {
            reason: self.reason().into(),
            seconds: lasted.as_secs_f64(),
        });
        self.log_end();
    }
}

impl StreamHandler<Arrival> for Session {
    fn handle(&mut self, arrival: Arrival, ctx: &mut Self::Context) {
        self.heard();
        // A client that asks and does not read has to read first.
        if self.outbound.congested() {
            self.gate.set_congested(true);
        }
        match arrival {
            Arrival::Frame(Frame::Text(text)) => match &self.member {
                Some(_) => self.receive(&text, ctx),
                None if self.tracing.is_some() => self.hear_wish(&text, ctx),
                None => self.say_back(frame::OpCode::Text, text.as_bytes()),
            },
            Arrival::Frame(Frame::Binary(data)) => match &self.member {
                None if self.tracing.is_none() => self.say_back(frame::OpCode::Binary, &data),
                _ => self.end(Farewell::UnsupportedData, false, ctx),
            },
            Arrival::Frame(Frame::Ping(payload)) => {
                self.outbound.queue_sign(frame::pong_frame(&payload));
            }
            Arrival::Frame(Frame::Pong) => {}
            Arrival::Frame(Frame::Close(code)) => {
                self.outbound.answer_close(code);
                self.end(Farewell::Normal, false, ctx);
            }
            Arrival::Ending(farewell) => self.end(farewell, false, ctx),
            Arrival::Drained => self.next(ctx),
            Arrival::Gone => {
                self.lost = true;
                ctx.stop();
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Session {
    fn say_back(&self, opcode: frame::OpCode, payload: &[u8]) {
        self.outbound.queue_frame(frame::frame_bytes(opcode, payload));
    }
}

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, end: End, ctx: &mut Self::Context) {
        match self.unwelcomed() {
            Some(unwelcomed) => {
                unwelcomed.ending.get_or_insert(end);
            }
            None => self.tell_end(end, ctx),
        }
    }
}
