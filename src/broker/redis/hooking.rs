//! What scripts are to tell backends, and what follows when they did.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::AHashMap;
use log::warn;
use redis::cmd;

use super::{
    bridge::{EventsWait, RedisBridge},
    node::Node,
    script::{Call, EXPECT},
};
use crate::{
    backend::{Hooks, Wants},
    broker::Unavailable,
    model::{Epoch, RoomName},
};

/// For how long it holds that events of a room are expected. Whoever delivers
/// looks for them for longer than that.
const EXPECTED: Duration = Duration::from_secs(20);

/// How long, in milliseconds, the set of expected rooms is kept: as long as events are.
const KEPT: u64 = 7 * 24 * 3600 * 1000;

/// Past so many rooms, those of which nothing is expected any more are forgotten.
const REMEMBERED: usize = 10_000;

/// The hooks, and what this node knows of their outboxes.
pub(super) struct Hooking {
    pub(super) hooks: Arc<Hooks>,
    /// When it was last said of a room that events are expected.
    expected: Mutex<AHashMap<RoomName, Instant>>,
    /// About how many events wait for each hook.
    waiting: Vec<AtomicU64>,
}

/// Those hooks that want to be told of a room, as arguments of a script.
#[derive(Default)]
pub(super) struct Told {
    untold: String,
    hooks: Vec<ToldHook>,
}

struct ToldHook {
    number: usize,
    stream: String,
    wants: String,
    full: bool,
}

impl Hooking {
    pub(super) fn new(hooks: Arc<Hooks>) -> Self {
        let waiting = hooks.all().iter().map(|_| AtomicU64::new(0)).collect();
        Self { hooks, expected: Mutex::default(), waiting }
    }

    fn expected(&self) -> MutexGuard<'_, AHashMap<RoomName, Instant>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis may not know any more in which rooms events are expected.
    pub(super) fn forget_expected(&self) {
        self.expected().clear();
    }

    /// So many events wait for a hook.
    pub(super) fn wait(&self, hook: usize, waiting: u64) {
        let before = self.waiting.get(hook).map(|it| it.swap(waiting, Ordering::Relaxed));
        let most = self.most();
        if before.is_some_and(|before| before < most && waiting >= most)
            && let Some(hook) = self.hooks.get(hook)
        {
            let name = &hook.endpoint.name;
            warn!("webhooks of {name}: {waiting} events wait; what happens now is left out");
        }
    }

    fn most(&self) -> u64 {
        u64::try_from(self.hooks.settings.queue).unwrap_or(u64::MAX)
    }

    fn waits(&self, hook: usize) -> u64 {
        self.waiting.get(hook).map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// Whether there is place to tell how rooms are of which something was left out.
    pub(super) fn has_place(&self, hook: usize) -> bool {
        self.waits(hook) <= self.most() / 2
    }
}

/// What an endpoint wants, as scripts read it.
pub(super) fn letters(wants: Wants) -> String {
    let Wants { occupied, vacated, joined, left, messages } = wants;
    [(occupied, 'o'), (vacated, 'v'), (joined, 'j'), (left, 'l'), (messages, 'm')]
        .into_iter()
        .filter_map(|(wanted, letter)| wanted.then_some(letter))
        .collect()
}

impl Told {
    /// The keys that the scripts are given besides their own.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        let untold = (!self.hooks.is_empty()).then(|| self.untold.clone());
        untold.into_iter().chain(self.hooks.iter().map(|hook| hook.stream.clone()))
    }

    /// Adds the arguments that belong to the keys.
    pub(super) fn add_to(&self, call: Call) -> Call {
        if self.hooks.is_empty() {
            return call.arg("").arg(0);
        }
        let call = call.arg(Epoch::random().to_string()).arg(self.hooks.len());
        let add = |call: Call, hook: &ToldHook| call.arg(&hook.wants).arg(u8::from(hook.full));
        self.hooks.iter().fold(call, add)
    }
}

impl Node {
    /// The hooks that want to be told of what a script is about to do in a room.
    /// Whoever delivers knows then that it may have to look there.
    pub(super) async fn hooks_of(
        &self,
        room: &RoomName,
        concerns: impl Fn(Wants) -> bool,
    ) -> Result<Told, Unavailable> {
        let mut told = Told::default();
        let Some(hooking) = &self.hooking else { return Ok(told) };
        for (number, hook) in hooking.hooks.all().iter().enumerate() {
            let wants = hook.wants(room);
            if concerns(wants) {
                told.hooks.push(ToldHook {
                    number,
                    stream: self.names.events(room, &hook.endpoint.name),
                    wants: letters(wants),
                    full: hooking.waits(number) >= hooking.most(),
                });
            }
        }
        if !told.hooks.is_empty() {
            told.untold = self.names.untold(room);
            self.expect_events(hooking, room).await?;
        }
        Ok(told)
    }

    async fn expect_events(&self, hooking: &Hooking, room: &RoomName) -> Result<(), Unavailable> {
        let now = Instant::now();
        let is_fresh = |at: &Instant| now.duration_since(*at) < EXPECTED;
        if hooking.expected().get(room).is_some_and(is_fresh) {
            return Ok(());
        }
        let call = EXPECT.call([self.names.expected()]).arg(room.as_str()).arg(KEPT);
        self.run::<u64>(call).await?;
        let mut expected = hooking.expected();
        if expected.len() >= REMEMBERED {
            expected.retain(|_, at| is_fresh(at));
        }
        expected.insert(room.clone(), now);
        Ok(())
    }

    /// A script told of so many events, and left out so many for each hook.
    pub(super) fn events_told(&self, room: &RoomName, to: &Told, report: &[u64]) {
        let Some(hooking) = &self.hooking else { return };
        let Some((told, dropped)) = report.split_first() else { return };
        for (to, dropped) in to.hooks.iter().zip(dropped) {
            if let Some(hook) = hooking.hooks.get(to.number) {
                hook.figures.dropped.inc_by(*dropped);
            }
            if let Some(waiting) = hooking.waiting.get(to.number) {
                waiting.fetch_add(*told, Ordering::Relaxed);
            }
        }
        if *told > 0
            && let Some(bridge) = self.bridge.get()
        {
            bridge.do_send(EventsWait { room: room.clone() });
        }
    }
}

impl RedisBridge {
    /// Tells the deliverer in which rooms events wait. What is lost on the way it
    /// finds when it looks through the rooms that are expected.
    fn announce(&mut self, ctx: &mut Context<Self>) {
        if self.eventful.is_empty() || std::mem::replace(&mut self.announcing, true) {
            return;
        }
        let rooms: Vec<String> = self.eventful.drain().map(|room| room.to_string()).collect();
        let node = self.node.clone();
        let announced = async move {
            let mut add = cmd("SADD");
            add.arg(node.names.ready()).arg(rooms);
            let _ = node.command::<u64>(&add).await;
        };
        self.run(ctx, announced, |act, _, ctx| {
            act.announcing = false;
            act.announce(ctx);
        });
    }
}

impl Handler<EventsWait> for RedisBridge {
    type Result = ();

    fn handle(&mut self, EventsWait { room }: EventsWait, ctx: &mut Self::Context) {
        self.eventful.insert(room);
        self.announce(ctx);
    }
}
