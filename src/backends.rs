//! What a node has to do with backends, put together, and how it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use anyhow::Context as _;
use log::warn;
use tokio::time::{sleep, timeout_at};

use crate::{
    backend::{Asker, Deliveries, Hooks, Outbox, PART, Queue},
    broker::redis::RedisOutbox,
    config::Settings,
    presence::{Finish, PresenceSupervisor},
    supervision::Supervision,
};

/// How often it is looked whether all is delivered.
const LOOK: Duration = Duration::from_millis(20);

/// Who is told, and who is asked.
pub(crate) struct Backends {
    pub(crate) hooks: Option<Arc<Hooks>>,
    /// Where events wait, unless Redis has them.
    pub(crate) queue: Option<Arc<Queue>>,
    pub(crate) asker: Option<Arc<Asker>>,
}

/// What delivers events.
pub(crate) struct Delivery {
    queue: Option<Arc<Queue>>,
    outbox: Option<Arc<RedisOutbox>>,
    /// Held while it is to deliver.
    _tasks: Deliveries,
}

impl Backends {
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let hooks = Hooks::new(&settings.webhooks).map(Arc::new);
        let alone = settings.broker.url.is_none();
        let queue = hooks.clone().filter(|_| alone).map(|hooks| Arc::new(Queue::new(hooks)));
        let asker = Asker::new(&settings.ask, settings.limits.message_bytes);
        let asker = asker.map_err(anyhow::Error::msg).context("ask.url")?.map(Arc::new);
        Ok(Self { hooks, queue, asker })
    }

    /// Begins to deliver what waits in the queue, or in Redis.
    pub(crate) fn deliver(
        self,
        outbox: Option<Arc<RedisOutbox>>,
        supervision: &Arc<Supervision>,
    ) -> anyhow::Result<Delivery> {
        let waits: Option<Arc<dyn Outbox>> = match (&self.queue, &outbox) {
            (Some(queue), _) => Some(queue.clone()),
            (None, Some(outbox)) => Some(outbox.clone()),
            (None, None) => None,
        };
        let mut tasks = Deliveries::default();
        if let (Some(hooks), Some(waits)) = (&self.hooks, waits) {
            tasks = Deliveries::start(hooks, &waits, supervision)
                .map_err(anyhow::Error::msg)
                .context("webhooks.url")?;
        }
        if let Some(outbox) = &outbox {
            let outbox = outbox.clone();
            tasks.add(supervision.keep(PART, move || outbox.clone().run()));
        }
        Ok(Delivery { queue: self.queue, outbox, _tasks: tasks })
    }
}

impl Delivery {
    /// The node ends. What waits in its own queue ends with it: all of its users
    /// leave, and it is delivered for as long as there is time. What waits in
    /// Redis is for another node.
    pub(crate) async fn finish(&self, presence: &Addr<PresenceSupervisor>, deadline: Instant) {
        if let Some(queue) = &self.queue {
            let told = async {
                if presence.send(Finish).await.is_err() {
                    warn!("presence ended before its users left");
                }
                while !queue.is_empty() {
                    sleep(LOOK).await;
                }
            };
            if timeout_at(deadline.into(), told).await.is_err() {
                warn!("the node ends before its webhooks are delivered");
            }
        }
        if let Some(outbox) = &self.outbox {
            outbox.resign().await;
        }
    }
}
