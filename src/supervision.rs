//! What becomes of a part of the node that ends by a panic.
//!
//! | the part | then |
//! | --- | --- |
//! | has nothing to remember, such as the task that sweeps | it [begins again](Supervision::keep) |
//! | knows what nobody else does, such as presence | [the node ends](Supervision::failed), and whoever watches the process starts it again |
//! | is one connection or the rooms of one worker | its clients are closed and come back; see `session` and `room` |
//!
//! The invariant: no part is gone while the node goes on as if nothing were.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use actix_web::rt;
use futures_util::FutureExt;
use log::error;
use tokio::{sync::Notify, time::sleep};

use crate::metrics::Metrics;

/// How long to wait before a task begins again: one that panics at once costs a line of
/// the log each second, and no more.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How often it is looked whether the parts are there that the node cannot do without.
const LOOK: Duration = Duration::from_millis(500);

type Hook<T> = Box<dyn Fn() -> T + Send + Sync>;

/// The parts of a node that are looked after.
#[derive(Default)]
pub struct Supervision {
    metrics: Arc<Metrics>,
    vital: Mutex<Vec<(&'static str, Hook<bool>)>>,
    /// By which tests have a part panic.
    faults: Mutex<Vec<(&'static str, Hook<()>)>>,
}

impl Supervision {
    /// Looks after nothing yet; counts what begins again.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Runs a task on this thread until it ends or the handle is aborted; again and
    /// again where it panics.
    pub fn keep<T>(
        self: &Arc<Self>,
        part: &'static str,
        mut task: impl FnMut() -> T + 'static,
    ) -> rt::task::JoinHandle<()>
    where
        T: Future<Output = ()> + 'static,
    {
        let (metrics, fault) = (self.metrics.clone(), Arc::new(Notify::new()));
        let hit = fault.clone();
        self.on_fault(part, move || hit.notify_one());
        rt::spawn(async move {
            loop {
                let run = async {
                    tokio::select! {
                        () = task() => {}
                        () = fault.notified() => InjectedFault::raise(),
                    }
                };
                if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
                    return;
                }
                metrics.parts_restarted.count(part);
                error!("{part}: a task panicked; begun again in {RESTART_DELAY:?}");
                sleep(RESTART_DELAY).await;
            }
        })
    }

    /// The node ends when `is_there` is not true any more.
    pub fn require(&self, part: &'static str, is_there: impl Fn() -> bool + Send + Sync + 'static) {
        lock(&self.vital).push((part, Box::new(is_there)));
    }

    /// Waits until a part that is [required](Self::require) is not there; which one.
    pub async fn failed(&self) -> &'static str {
        loop {
            let gone = lock(&self.vital).iter().find(|(_, is_there)| !is_there()).map(|it| it.0);
            match gone {
                Some(part) => return part,
                None => sleep(LOOK).await,
            }
        }
    }

    /// How a test has a part panic.
    pub fn on_fault(&self, part: &'static str, inject: impl Fn() + Send + Sync + 'static) {
        lock(&self.faults).push((part, Box::new(inject)));
    }

    /// Has a part panic, for tests. Nothing that comes over the network gets here.
    /// Answers whether there is such a part.
    #[doc(hidden)]
    pub fn inject_fault(&self, part: &str) -> bool {
        let faults = lock(&self.faults);
        let mut of_part = faults.iter().filter(|(name, _)| *name == part).peekable();
        let known = of_part.peek().is_some();
        of_part.for_each(|(_, inject)| inject());
        known
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has an actor panic, for tests.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct InjectedFault;

impl InjectedFault {
    /// Panics, but for the line that the standard library writes of a panic.
    pub fn raise() {
        resume_unwind(Box::new("a fault that a test injected"));
    }
}
