//! The tasks that deliver, for as long as a node runs.

use std::{future::Future, sync::Arc};

use actix_web::rt;

use super::{
    deliver::{Outbox, deliver},
    hook::Hooks,
    post::Caller,
};

/// The tasks of all hooks; they end when it is dropped.
#[derive(Default)]
pub struct Deliveries(Vec<rt::task::JoinHandle<()>>);

impl Deliveries {
    /// Delivers what waits in the outbox, on this thread.
    ///
    /// # Errors
    /// What the system lacks for TLS, in words for people.
    pub fn start(hooks: &Arc<Hooks>, outbox: &Arc<dyn Outbox>) -> Result<Self, String> {
        let mut all = Self::default();
        for (number, hook) in hooks.all().iter().enumerate() {
            let endpoint = &hook.endpoint;
            let caller = Caller::new(&endpoint.url, &endpoint.keys, hooks.settings.timeout)?;
            all.add(deliver(hooks.clone(), number, caller, outbox.clone()));
        }
        Ok(all)
    }

    /// One more task that belongs to them.
    pub fn add(&mut self, task: impl Future<Output = ()> + 'static) {
        self.0.push(rt::spawn(task));
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
