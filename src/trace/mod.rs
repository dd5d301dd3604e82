//! What happens to one user or in one room, told live to who asks for it.
//!
//! While nobody does, all that is done where something happens is to read one
//! flag. Nothing here is touched for each delivery of a message. Who traces asks
//! at one node; that node tells the others again and again what it wishes to
//! hear, and they tell it what happens with them (`relay`). A node that does not
//! hear of a wish any more lets go of it.
//!
//! Nothing waits for a trace: what does not fit its queues is counted, and the
//! count is told.

mod elsewhere;
mod relay;
#[cfg(test)]
mod tests;

pub use relay::relay;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use actix::prelude::*;
use tokio::sync::Notify;

use self::elsewhere::Elsewhere;
use crate::{
    cluster::{Whisper, Wish},
    model::{Happening, RoomName, SessionId, Subject, UserId, What, random_u64, wall_clock},
};

/// So many traces run on one node at most.
pub const RUNNING: usize = 16;

/// So many connections at most are yet to say what they want to trace.
pub const WAITING: usize = 32;

/// What a trace is told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Traced {
    /// What happened; none where only the count is told.
    pub happening: Option<Box<Happening>>,
    /// How much is left out before it.
    pub dropped: u64,
}

/// The node has as many traces as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// The traces that a node has to do with: its own, and those of other nodes.
pub struct Traces {
    node: Arc<str>,
    /// By what other nodes know this process here.
    origin: u64,
    /// Whether there is any.
    on: AtomicBool,
    waiting: AtomicUsize,
    inner: Mutex<Inner>,
    /// Wakes the [`relay`].
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    last: u64,
    here: Vec<Here>,
    elsewhere: Elsewhere,
}

/// A trace that somebody follows at this node.
struct Here {
    wish: Wish,
    sink: Recipient<Traced>,
    dropped: u64,
}

impl Here {
    /// Tells the trace; what it does not take is counted.
    fn tell(&mut self, happening: Option<Happening>, dropped: u64) {
        let one = u64::from(happening.is_some());
        self.dropped = self.dropped.saturating_add(dropped);
        let traced = Traced { happening: happening.map(Box::new), dropped: self.dropped };
        match self.sink.try_send(traced) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped = self.dropped.saturating_add(one),
        }
    }
}

impl Traces {
    /// None yet, on the node of this name.
    pub fn new(node: Arc<str>) -> Self {
        Self {
            node,
            origin: random_u64(),
            on: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            inner: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Whether anybody traces anything. It may be a little late, either way.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Tells of something, if anybody traces anything.
    pub fn note(
        &self,
        user: Option<&UserId>,
        session: Option<&SessionId>,
        room: Option<&RoomName>,
        what: impl FnOnce() -> What,
    ) {
        if !self.is_on() {
            return;
        }
        let happening = Happening {
            at: wall_clock(),
            node: self.node.clone(),
            user: user.cloned(),
            session: session.cloned(),
            room: room.filter(|room| !room.is_inbox()).cloned(),
            what: what(),
        };
        let mut inner = self.lock();
        let Inner { here, elsewhere, .. } = &mut *inner;
        for trace in here.iter_mut().filter(|trace| trace.wish.subject.is_in(&happening)) {
            trace.tell(Some(shown(&trace.wish, &happening)), 0);
        }
        elsewhere.note(&happening);
    }

    /// Somebody is about to say what it wants to trace.
    ///
    /// # Errors
    /// [`TooMany`] are about to.
    pub fn approach(self: &Arc<Self>) -> Result<Place, TooMany> {
        let place = Place(self.clone());
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            return Err(TooMany);
        }
        Ok(place)
    }

    /// Begins a trace, which ends when the answer is dropped.
    ///
    /// # Errors
    /// [`TooMany`] run.
    pub fn begin(
        self: &Arc<Self>,
        subject: Subject,
        content: bool,
        sink: Recipient<Traced>,
    ) -> Result<Running, TooMany> {
        let mut inner = self.lock();
        if inner.here.len() >= RUNNING {
            return Err(TooMany);
        }
        inner.last += 1;
        let trace = inner.last;
        let wish = Wish { trace, subject, content };
        inner.here.push(Here { wish, sink, dropped: 0 });
        self.settle(&inner);
        Ok(Running { traces: self.clone(), trace })
    }

    /// Another node says something about traces.
    pub fn hear(&self, whisper: Whisper, now: Instant) {
        let mut inner = self.lock();
        match whisper {
            Whisper::Wishes { origin, wishes } => inner.elsewhere.wish(origin, wishes, now),
            Whisper::Happened { origin, trace, happenings, dropped } if origin == self.origin => {
                let mut here = inner.here.iter_mut();
                if let Some(trace) = here.find(|it| it.wish.trace == trace) {
                    for happening in happenings {
                        trace.tell(Some(happening), 0);
                    }
                    if dropped > 0 {
                        trace.tell(None, dropped);
                    }
                }
            }
            _ => {}
        }
        self.settle(&inner);
    }

    /// Notes whether there is anything to trace, and wakes who tells the others.
    fn settle(&self, inner: &Inner) {
        self.settle_quietly(inner);
        self.wake.notify_one();
    }

    fn settle_quietly(&self, inner: &Inner) {
        self.on.store(!inner.here.is_empty() || !inner.elsewhere.is_empty(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a trace is told of something.
fn shown(wish: &Wish, happening: &Happening) -> Happening {
    let happening = happening.clone();
    if wish.content { happening } else { happening.without_content() }
}

/// Somebody who is about to trace; counted until this is dropped.
pub struct Place(Arc<Traces>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A trace that runs until this is dropped.
pub struct Running {
    traces: Arc<Traces>,
    trace: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut inner = self.traces.lock();
        inner.here.retain(|it| it.wish.trace != self.trace);
        self.traces.settle(&inner);
    }
}
