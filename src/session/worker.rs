use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

use actix::prelude::*;

use super::services::Services;
use crate::{
    metrics::{BEAT, WorkerMetrics},
    presence,
    room::{Links, RoomSupervisor},
};

/// What the sessions of one worker thread share.
pub struct Worker {
    /// What all sessions of the node share.
    pub services: Arc<Services>,
    /// The outbound queues of this worker's connections.
    pub links: Links,
    /// The actor that holds this worker's rooms.
    pub rooms: Addr<RoomSupervisor>,
    /// This worker's way to presence.
    pub presence: presence::Line,
    /// What this worker counts.
    pub metrics: Arc<WorkerMetrics>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

impl Worker {
    /// The worker of this thread. It is made when first asked for, and made
    /// again should its supervisor have ended by a panic.
    pub fn current(services: &Arc<Services>) -> Rc<Self> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) if worker.rooms.connected() => worker.clone(),
            _ => {
                let metrics = current.as_ref().map(|earlier| earlier.metrics.clone());
                let metrics = metrics.unwrap_or_else(|| begin(services));
                let worker = Rc::new(Self::start(services, metrics));
                *current = Some(worker.clone());
                worker
            }
        })
    }

    fn start(services: &Arc<Services>, metrics: Arc<WorkerMetrics>) -> Self {
        let links = Links::default();
        let presence = presence::Line::new(services.presence.clone());
        let rooms = RoomSupervisor::new(
            services.broker.clone(),
            services.queues.clone(),
            presence.clone(),
            links.clone(),
            &services.settings,
            services.metrics.clone(),
            services.traces.clone(),
            metrics.clone(),
        );
        let rooms = rooms.start();
        services.workers.add(rooms.clone());
        Self { services: services.clone(), links, rooms, presence, metrics }
    }
}

/// What this thread counts, and the beat that tells how late its event loop is.
fn begin(services: &Services) -> Arc<WorkerMetrics> {
    let metrics = services.metrics.workers.add();
    let ends = Ends(metrics.clone());
    actix::spawn(async move {
        let metrics = &ends.0;
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            let next = now + BEAT;
            metrics.beat(now.saturating_duration_since(due), next);
            due = next;
            tokio::time::sleep_until(next.into()).await;
        }
    });
    metrics
}

/// Dropped with the thread's tasks.
struct Ends(Arc<WorkerMetrics>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.pulse.end();
    }
}
