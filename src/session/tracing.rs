//! Sessions whose client follows a trace, and what all sessions tell traces.
//!
//! Such a session is as an echo: no user's, in no room. What its client says
//! first is the key and what it wants to trace; then it only listens.

use std::time::Duration;

use actix::prelude::*;
use log::info;

use super::actor::Session;
use crate::{
    model::{Code, Farewell, Happening, Problem, RoomName, Subject, What},
    trace::{Place, Running, Traced},
    wire::TraceEvent,
};

/// How long a client may take to say what it wants to trace.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is told how much was left out, where nothing else is to be told.
const TELL_DROPPED: Duration = Duration::from_secs(1);

/// So much waits for a session that is busy; more is counted.
const MAILBOX: usize = 256;

/// Reads what a client wants to trace, and refuses who may not.
pub type Admit = Box<dyn FnOnce(&str) -> Result<Wanted, Problem>>;

/// What is to be traced.
pub struct Wanted {
    /// Whom or what.
    pub subject: Subject,
    /// Whether what was said is told.
    pub content: bool,
    /// Who wants it, for the log.
    pub by: String,
    /// Whether it may hear of what happens in a room.
    pub sees: Box<dyn Fn(&RoomName) -> bool>,
}

/// What a session knows whose client traces, or is about to.
pub(super) struct Tracing {
    before: Option<(Admit, Place)>,
    follows: Option<Follows>,
    dropped: u64,
}

struct Follows {
    wanted: Wanted,
    _running: Running,
}

impl Drop for Follows {
    fn drop(&mut self) {
        let Wanted { by, subject, .. } = &self.wanted;
        info!("{by} traces {} no more", named(subject));
    }
}

fn named(subject: &Subject) -> String {
    match subject {
        Subject::User(user) => format!("the user {user}"),
        Subject::Room(room) => format!("the room {room}"),
    }
}

impl Tracing {
    pub(super) fn new(admit: Admit, place: Place) -> Self {
        Self { before: Some((admit, place)), follows: None, dropped: 0 }
    }
}

impl Session {
    /// Tells traces of something that this session's user did.
    pub(super) fn trace(&self, room: Option<&RoomName>, what: impl FnOnce() -> What) {
        let traces = &self.services().traces;
        if let Some(member) = self.member.as_ref().filter(|_| traces.is_on()) {
            let user = &member.identity.profile.user;
            traces.note(Some(user), Some(self.permit().session()), room, what);
        }
    }

    pub(super) fn begin_tracing(&mut self, ctx: &mut Context<Self>) {
        if self.tracing.is_none() {
            return;
        }
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_later(PATIENCE, |act, ctx| {
            if act.tracing.as_ref().is_some_and(|it| it.before.is_some()) {
                let seconds = PATIENCE.as_secs();
                let message = format!("the first message did not come within {seconds} s");
                act.give_up_tracing(&Problem::new(Code::Unauthorized, message), ctx);
            }
        });
        ctx.run_interval(TELL_DROPPED, |act, _| act.tell_traced(None, 0));
    }

    /// The client of a session that is no user's says something.
    pub(super) fn hear_wish(&mut self, text: &str, ctx: &mut Context<Self>) {
        let Some(tracing) = &mut self.tracing else { return };
        let Some((admit, _place)) = tracing.before.take() else {
            let message = "one connection follows one trace, named by its first message";
            let problem = Problem::new(Code::BadMessage, message);
            return self.outbound.queue_frame(TraceEvent::from(&problem).encode());
        };
        let wanted = match admit(text) {
            Ok(wanted) => wanted,
            Err(problem) => return self.give_up_tracing(&problem, ctx),
        };
        let (subject, content) = (wanted.subject.clone(), wanted.content);
        let sink = ctx.address().recipient();
        let Ok(running) = self.services().traces.begin(subject.clone(), content, sink) else {
            let message = "this node has as many traces as it may";
            return self.give_up_tracing(&Problem::new(Code::Unavailable, message), ctx);
        };
        info!("{} traces {}, contents: {content}", wanted.by, named(&subject));
        let node = self.services().node.clone();
        let event = TraceEvent::Tracing { node: &node, subject: &subject, content };
        self.outbound.queue_frame(event.encode());
        if let Some(tracing) = &mut self.tracing {
            tracing.follows = Some(Follows { wanted, _running: running });
        }
    }

    fn give_up_tracing(&mut self, problem: &Problem, ctx: &mut Context<Self>) {
        self.outbound.queue_frame(TraceEvent::from(problem).encode());
        self.end(Farewell::Normal, true, ctx);
    }

    /// Tells what happened; counts it where the client has to read first.
    fn tell_traced(&mut self, happening: Option<&Happening>, dropped: u64) {
        let congested = self.outbound.congested();
        let Some(tracing) = &mut self.tracing else { return };
        tracing.dropped += dropped;
        let happening = happening.filter(|it| {
            let sees = tracing.follows.as_ref().map(|it| &it.wanted.sees);
            sees.is_some_and(|sees| it.room.as_ref().is_none_or(sees))
        });
        if congested {
            tracing.dropped += u64::from(happening.is_some());
            return;
        }
        let dropped = std::mem::take(&mut tracing.dropped);
        if dropped > 0 {
            self.outbound.queue_frame(TraceEvent::Dropped { count: dropped }.encode());
        }
        if let Some(happening) = happening {
            self.outbound.queue_frame(TraceEvent::Happened(happening).encode());
        }
        self.outbound.flush();
    }
}

impl Handler<Traced> for Session {
    type Result = ();

    fn handle(&mut self, Traced { happening, dropped }: Traced, _: &mut Self::Context) {
        self.tell_traced(happening.as_deref(), dropped);
    }
}
