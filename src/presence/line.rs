use std::{cell::RefCell, mem, rc::Rc};

use actix::prelude::*;

use super::{
    messages::{Request, Requests},
    supervisor::PresenceSupervisor,
};

/// The way from one worker to presence, which lives on another thread: what is said
/// within a turn of the worker goes together, for one wake-up and not for one each.
#[derive(Debug, Clone)]
pub struct Line {
    presence: Addr<PresenceSupervisor>,
    said: Rc<RefCell<Vec<Request>>>,
}

impl Line {
    /// A line on which nothing was said yet.
    pub fn new(presence: Addr<PresenceSupervisor>) -> Self {
        Self { presence, said: Rc::default() }
    }

    /// The actor itself, for what is not said in turn.
    pub fn actor(&self) -> &Addr<PresenceSupervisor> {
        &self.presence
    }

    /// Says something. It leaves before this thread waits again, in the order of
    /// what is said.
    pub fn say(&self, request: Request) {
        let mut said = self.said.borrow_mut();
        said.push(request);
        if said.len() == 1 {
            let line = self.clone();
            actix::spawn(async move { line.flush() });
        }
    }

    /// What was said leaves now.
    pub fn flush(&self) {
        let said = mem::take(&mut *self.said.borrow_mut());
        if !said.is_empty() {
            self.presence.do_send(Requests(said));
        }
    }
}
