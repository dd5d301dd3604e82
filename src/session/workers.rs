use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use futures_util::future::join_all;

use crate::{
    room::{RoomSupervisor, Survey, Surveyed},
    supervision::InjectedFault,
};

/// How long a worker may take to say how it is. One that takes longer shows as
/// late, and what it has is left out.
const PATIENCE: Duration = Duration::from_millis(500);

/// The room supervisors of all worker threads.
#[derive(Default)]
pub struct Workers(Mutex<Vec<Addr<RoomSupervisor>>>);

impl Workers {
    /// One more; those that have ended are forgotten.
    pub(super) fn add(&self, rooms: Addr<RoomSupervisor>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(Addr::connected);
        all.push(rooms);
    }

    /// Has all of them panic, for tests.
    pub(crate) fn inject_fault(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().for_each(|rooms| rooms.do_send(InjectedFault));
    }

    /// What they have now, together.
    pub async fn survey(&self) -> Surveyed {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers = join_all(all.iter().map(|rooms| rooms.send(Survey).timeout(PATIENCE))).await;
        answers.into_iter().flatten().fold(Surveyed::default(), Surveyed::with)
    }
}
