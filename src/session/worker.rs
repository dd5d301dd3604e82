use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::prelude::*;

use super::services::Services;
use crate::room::{Links, RoomSupervisor};

/// What the sessions of one worker thread share.
pub struct Worker {
    /// What all sessions of the node share.
    pub services: Arc<Services>,
    /// The outbound queues of this worker's connections.
    pub links: Links,
    /// The actor that holds this worker's rooms.
    pub rooms: Addr<RoomSupervisor>,
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
                let worker = Rc::new(Self::start(services));
                *current = Some(worker.clone());
                worker
            }
        })
    }

    fn start(services: &Arc<Services>) -> Self {
        let links = Links::default();
        let rooms = RoomSupervisor::new(
            services.broker.clone(),
            services.presence.clone(),
            links.clone(),
            &services.settings.outbound,
            &services.settings.limits,
            services.metrics.clone(),
            services.traces.clone(),
        );
        Self { services: services.clone(), links, rooms: rooms.start() }
    }
}
