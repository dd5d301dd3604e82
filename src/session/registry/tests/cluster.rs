//! A cluster in the test's hands: nodes count in one table, and orders reach a
//! node when the test says so.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::{FutureExt, ready};

use super::*;
use crate::{
    cluster::{
        Admission, Answer, Entry, Listeners, NodeReport, Posted, Roll, Unreachable, Whisper,
    },
    model::{LifeId, RoomName},
};

/// What all nodes have in common.
#[derive(Default)]
pub(super) struct Shared {
    open: Mutex<HashMap<(LifeId, UserId), usize>>,
    log: Mutex<Vec<Order>>,
    /// Attempts that may still be made.
    attempts: Mutex<usize>,
    away: AtomicBool,
}

impl Shared {
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(super) fn allow_attempts(&self, attempts: usize) {
        *self.attempts.lock().unwrap() = attempts;
    }

    /// The orders so far.
    pub(super) fn orders(&self) -> Vec<Order> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap().values().sum()
    }
}

/// A node's way to the others.
struct Way {
    life: LifeId,
    shared: Arc<Shared>,
}

impl Way {
    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&Shared) -> T) -> Answer<'_, T> {
        let away = self.shared.away.load(Ordering::SeqCst);
        ready(if away { Err(Unreachable) } else { Ok(act(&self.shared)) }).boxed()
    }
}

impl Cluster for Way {
    fn life(&self) -> LifeId {
        self.life.clone()
    }

    fn listen(&self, _: Listeners) {}

    fn leave(&self) {}

    fn follow(&self, _: &RoomName) {}

    fn unfollow(&self, _: &RoomName) {}

    fn tell(&self, _: &RoomName, _: Vec<(UserId, Option<Entry>)>) -> Answer<'_, ()> {
        self.answer(|_| ())
    }

    fn roll(&self, _: &RoomName) -> Answer<'_, Roll> {
        self.answer(|_| Roll { entries: Vec::new(), whole: true })
    }

    fn headcount(&self, rooms: Vec<RoomName>) -> Answer<'_, Vec<usize>> {
        self.answer(|_| vec![0; rooms.len()])
    }

    fn report(&self, _: NodeReport) -> Answer<'_, ()> {
        self.answer(|_| ())
    }

    fn reports(&self) -> Answer<'_, Vec<NodeReport>> {
        self.answer(|_| Vec::new())
    }

    fn attempt(&self, _: Attempt<'_>, _: u32) -> Answer<'_, Option<Duration>> {
        self.answer(|shared| {
            let mut left = shared.attempts.lock().unwrap();
            let wait = (*left == 0).then_some(Duration::from_secs(1));
            *left = left.saturating_sub(1);
            wait
        })
    }

    fn admit(&self, user: &UserId, open: usize, limit: usize) -> Answer<'_, Admission> {
        let key = (self.life.clone(), user.clone());
        self.answer(|shared| {
            let mut table = shared.open.lock().unwrap();
            let others = table.iter().filter(|((life, who), _)| who == user && *life != self.life);
            let elsewhere = others.map(|(_, open)| open).sum();
            if elsewhere + open > limit {
                return Admission::TooMany;
            }
            table.insert(key, open);
            Admission::Admitted { elsewhere }
        })
    }

    fn release(&self, user: &UserId, open: usize) {
        let key = (self.life.clone(), user.clone());
        self.shared.open.lock().unwrap().insert(key, open);
    }

    fn post(&self, _: &UserId, _: &SessionId, _: &[Box<str>]) -> Answer<'_, Posted> {
        self.answer(|_| Posted::Unknown)
    }

    fn whisper(&self, _: &Whisper) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn clock(&self) -> Answer<'_, Timestamp> {
        self.answer(|_| wall_clock())
    }

    fn order(&self, order: Order) -> Answer<'_, ()> {
        self.answer(|shared| shared.log.lock().unwrap().push(order))
    }
}

/// A node of the cluster.
pub(super) fn node(
    shared: &Arc<Shared>,
    change: impl FnOnce(&mut config::Limits),
) -> Arc<Registry> {
    let mut limits = Settings::default().limits;
    change(&mut limits);
    let way = Way { life: LifeId::random("node"), shared: shared.clone() };
    Arc::new(Registry::new(&limits, 100, Some(Arc::new(way))))
}
