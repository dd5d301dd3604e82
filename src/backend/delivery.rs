//! The tasks that deliver, for as long as a node runs.

use std::sync::Arc;

use actix_web::rt;

use super::{
    deliver::{Outbox, deliver},
    hook::Hooks,
    post::Caller,
};
use crate::supervision::Supervision;

/// What they are called where one of them panics.
pub const PART: &str = "webhooks";

/// The tasks of all hooks; they end when it is dropped.
#[derive(Default)]
pub struct Deliveries(Vec<rt::task::JoinHandle<()>>);

impl Deliveries {
    /// Delivers what waits in the outbox, on this thread.
    ///
    /// # Errors
    /// What the system lacks for TLS, in words for people.
    pub fn start(
        hooks: &Arc<Hooks>,
        outbox: &Arc<dyn Outbox>,
        supervision: &Arc<Supervision>,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        for (number, hook) in hooks.all().iter().enumerate() {
            let endpoint = &hook.endpoint;
            let caller = Caller::new(&endpoint.url, &endpoint.keys, hooks.settings.timeout)?;
            let caller = Arc::new(caller);
            let (hooks, outbox) = (hooks.clone(), outbox.clone());
            let delivered = move || deliver(hooks.clone(), number, caller.clone(), outbox.clone());
            all.add(supervision.keep(PART, delivered));
        }
        Ok(all)
    }

    /// One more task that belongs to them.
    pub fn add(&mut self, task: rt::task::JoinHandle<()>) {
        self.0.push(task);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
