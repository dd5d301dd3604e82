use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::prelude::*;

use crate::model::{Position, Publication, RoomName, Transient, WorkerId};

/// What a broker hands to a worker.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum Delivery {
    /// An entry of a room's log.
    Published(Arc<Publication>),
    /// Something that is stored nowhere.
    Transient(RoomName, Arc<Transient>),
    /// The room's log reaches to here; who is not there missed something.
    End(RoomName, Position),
}

/// A worker as a broker sees it: a bounded queue that may refuse.
///
/// All clones share one sender: an actix mailbox grants every clone of a sender
/// a place of its own, so that clones made per message would know no bound.
#[derive(Clone)]
pub struct Subscriber(Arc<Inbound>);

struct Inbound {
    worker: WorkerId,
    queue: Recipient<Delivery>,
    /// Set by the broker when the queue refused; cleared by the worker, which
    /// then compares its rooms with their logs.
    lagged: AtomicBool,
}

impl Subscriber {
    /// A worker and its queue.
    pub fn new(worker: WorkerId, queue: Recipient<Delivery>) -> Self {
        Self(Arc::new(Inbound { worker, queue, lagged: AtomicBool::new(false) }))
    }

    /// Which worker this is.
    pub fn worker(&self) -> WorkerId {
        self.0.worker
    }

    /// Hands on, or notes that the worker lags.
    pub fn deliver(&self, delivery: Delivery) {
        if self.0.queue.try_send(delivery).is_err() {
            self.0.lagged.store(true, Ordering::Release);
        }
    }

    /// Whether something was refused since this was last asked.
    pub fn take_lagged(&self) -> bool {
        self.0.lagged.load(Ordering::Relaxed) && self.0.lagged.swap(false, Ordering::AcqRel)
    }
}
