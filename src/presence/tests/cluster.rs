use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::FutureExt;

use super::*;
use crate::{
    cluster::{
        Admission, Answer, Attempt, Cluster, Listeners, NodeReport, Order, Posted, Unreachable,
        Whisper,
    },
    model::{SessionId, Timestamp},
};

/// What presence did to its cluster.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    Follow(String),
    Unfollow(String),
    /// Room, and for each user its sessions and status; none where the entry is
    /// taken away.
    Tell(String, Vec<(String, Option<(usize, Status)>)>),
    Roll(String),
}

/// A cluster that does what the test says.
pub(super) struct FakeCluster {
    calls: mpsc::UnboundedSender<Call>,
    /// Whether telling fails.
    pub(super) is_away: AtomicBool,
    /// Whether telling panics.
    pub(super) is_defect: AtomicBool,
    /// What is answered to a question for a room's roll.
    pub(super) roll: Mutex<Result<Roll, Unreachable>>,
    /// One permit for each telling that may end.
    pub(super) tellings: tokio::sync::Semaphore,
}

impl FakeCluster {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Call>) {
        let (calls, called) = mpsc::unbounded_channel();
        let cluster = Self {
            calls,
            is_away: AtomicBool::new(false),
            is_defect: AtomicBool::new(false),
            roll: Mutex::new(Err(Unreachable)),
            tellings: tokio::sync::Semaphore::new(tokio::sync::Semaphore::MAX_PERMITS),
        };
        (Arc::new(cluster), called)
    }

    fn call(&self, call: Call) {
        let _ = self.calls.send(call);
    }
}

impl Cluster for FakeCluster {
    fn life(&self) -> LifeId {
        LifeId::named("here")
    }

    fn listen(&self, _: Listeners) {}

    fn leave(&self) {}

    fn follow(&self, room: &RoomName) {
        self.call(Call::Follow(room.to_string()));
    }

    fn unfollow(&self, room: &RoomName) {
        self.call(Call::Unfollow(room.to_string()));
    }

    fn tell(&self, room: &RoomName, entries: Vec<(UserId, Option<Entry>)>) -> Answer<'_, ()> {
        let shown =
            |entry: Entry| (entry.sessions, entry.said.map_or(Status::Online, |said| said.status));
        let mut told: Vec<_> =
            entries.into_iter().map(|(user, entry)| (user.to_string(), entry.map(shown))).collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        self.call(Call::Tell(room.to_string(), told));
        async move {
            assert!(!self.is_defect.load(Ordering::Relaxed), "a defect of the cluster");
            self.tellings.acquire().await.unwrap().forget();
            if self.is_away.load(Ordering::Relaxed) { Err(Unreachable) } else { Ok(()) }
        }
        .boxed()
    }

    fn roll(&self, room: &RoomName) -> Answer<'_, Roll> {
        self.call(Call::Roll(room.to_string()));
        let roll = self.roll.lock().unwrap().clone();
        async move { roll }.boxed()
    }

    fn headcount(&self, rooms: Vec<RoomName>) -> Answer<'_, Vec<usize>> {
        async move { Ok(vec![0; rooms.len()]) }.boxed()
    }

    fn report(&self, _: NodeReport) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn reports(&self) -> Answer<'_, Vec<NodeReport>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn attempt(&self, _: Attempt<'_>, _: u32) -> Answer<'_, Option<std::time::Duration>> {
        async { Ok(None) }.boxed()
    }

    fn admit(&self, _: &UserId, _: usize, _: usize) -> Answer<'_, Admission> {
        async { Ok(Admission::Admitted { elsewhere: 0 }) }.boxed()
    }

    fn release(&self, _: &UserId, _: usize) {}

    fn post(&self, _: &UserId, _: &SessionId, _: &[Box<str>]) -> Answer<'_, Posted> {
        async { Ok(Posted::Unknown) }.boxed()
    }

    fn whisper(&self, _: &Whisper) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn clock(&self) -> Answer<'_, Timestamp> {
        async { Ok(0) }.boxed()
    }

    fn order(&self, _: Order) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }
}
