//! This node's own life, and what Redis is to know of it, so that whatever it
//! tells is taken away when the life is over.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use redis::cmd;

use super::{entry::RollVersion, node::Node};
use crate::{
    broker::Unavailable,
    cluster,
    model::{LifeId, RoomName},
};

/// So many rooms are added to the list of a life at once.
const AT_ONCE: usize = 1000;

/// The lives of this process. Whatever one of them tells stands in rooms that
/// Redis has a list of, by which somebody can take it away again.
pub(super) struct OwnLife {
    name: Arc<str>,
    /// The last one is the present one.
    lives: RwLock<Vec<LifeId>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the last beat that was counted began.
    beaten_at: Option<Instant>,
    /// The rooms in which the present life has something, as Redis knows them.
    indexed: AHashSet<RoomName>,
    /// The rooms in which this process has entries, whichever its life, with the
    /// last version of each roll that it made.
    rolls: AHashMap<RoomName, RollVersion>,
    /// Until when rolls that Redis lost are filled again.
    refilled_at: Option<Instant>,
    /// Where lives that are over may have left something after they were reaped.
    left: AHashMap<LifeId, AHashSet<RoomName>>,
}

impl OwnLife {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { lives: RwLock::new(vec![LifeId::random(&name)]), name, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present life.
    fn present(&self) -> LifeId {
        let lives = self.lives.read().unwrap_or_else(PoisonError::into_inner);
        lives.last().cloned().unwrap_or_else(|| LifeId::random(&self.name))
    }

    /// Acts if a life is the present one. What one that is over left in a room
    /// is remembered instead.
    fn unless_over(&self, life: &LifeId, room: &RoomName, act: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state();
        if self.present() == *life {
            act(&mut state);
        } else {
            state.left.entry(life.clone()).or_default().insert(room.clone());
        }
    }

    /// Redis knows that a life that is over is to be reaped in these rooms.
    fn owned_up(&self, life: &LifeId, rooms: &AHashSet<RoomName>) {
        let mut state = self.state();
        if let Some(left) = state.left.get_mut(life) {
            left.retain(|room| !rooms.contains(room));
            if left.is_empty() {
                state.left.remove(life);
            }
        }
    }
}

impl Node {
    /// The present life.
    pub(super) fn life(&self) -> LifeId {
        self.own.present()
    }

    /// Whether a life is or was this process's.
    pub(super) fn is_own(&self, life: &LifeId) -> bool {
        self.own.lives.read().unwrap_or_else(PoisonError::into_inner).contains(life)
    }

    /// How long a life may stand still until it is taken for over. Well before
    /// the lease is: seeing it and reaping take time too.
    pub(super) fn patience(&self) -> Duration {
        self.lease.mul_f64(0.6)
    }

    /// The present life, where the others cannot have taken it for over yet: they
    /// saw its last beat no earlier than it began.
    pub(super) fn counted_life(&self) -> Result<LifeId, Unavailable> {
        let state = self.own.state();
        match state.beaten_at {
            Some(at) if at.elapsed() < self.patience() => Ok(self.life()),
            _ => Err(Unavailable::Unreachable),
        }
    }

    /// Redis counts the present life; a beat that began then says so.
    pub(super) fn counted(&self, began: Instant) {
        self.own.state().beaten_at = Some(began);
    }

    /// The name of a life to come.
    pub(super) fn next_life(&self) -> LifeId {
        LifeId::random(&self.own.name)
    }

    /// What this process last made of the roll of a room while it had entries
    /// there, and whether Redis may have lost the rolls just now.
    pub(super) fn roll_made(&self, room: &RoomName) -> (Option<RollVersion>, bool) {
        let state = self.own.state();
        let lost = state.refilled_at.is_some_and(|at| Instant::now() < at);
        (state.rolls.get(room).copied(), lost)
    }

    /// This process made this of the roll of a room, in which it has so many
    /// entries. Where the roll turns out to have lost its data, all that this
    /// process knows is to be told again.
    pub(super) fn made_roll(&self, room: &RoomName, entries: u64, version: Option<RollVersion>) {
        let now = Instant::now();
        let mut state = self.own.state();
        let known = match version.filter(|_| entries > 0) {
            Some(version) => state.rolls.insert(room.clone(), version),
            None => state.rolls.remove(room),
        };
        let grown_on = |known: RollVersion| {
            version.is_some_and(|it| it.epoch == known.epoch && it.version >= known.version)
        };
        let is_new = state.refilled_at.is_none_or(|at| at <= now);
        if is_new && known.is_some_and(|known| !grown_on(known)) {
            state.refilled_at = Some(now + self.lease);
            drop(state);
            if let Some(hooking) = &self.hooking {
                hooking.forget_expected();
            }
            if let Some(listeners) = self.listeners.get() {
                listeners.presence.do_send(cluster::Heard::Anew);
            }
        }
    }

    /// Another life begins, counted since a beat that began then.
    pub(super) fn live_anew(&self, life: LifeId, began: Instant) {
        let former = self.life();
        let mut state = self.own.state();
        state.beaten_at = Some(began);
        state.refilled_at = Some(began + self.lease);
        if let Some(hooking) = &self.hooking {
            hooking.forget_expected();
        }
        // A process that stood still for a while may have told something after
        // it was reaped, where it believed to be indexed already.
        let indexed = std::mem::take(&mut state.indexed);
        state.left.entry(former).or_default().extend(indexed);
        self.own.lives.write().unwrap_or_else(PoisonError::into_inner).push(life);
    }

    /// Has Redis know that a life has something in a room, before it has: so
    /// that whoever reaps the life finds it.
    pub(super) async fn index(&self, life: &LifeId, room: &RoomName) -> Result<(), Unavailable> {
        if self.own.state().indexed.contains(room) {
            return Ok(());
        }
        let mut add = cmd("SADD");
        add.arg(self.names.rooms_of(life)).arg(room.as_str());
        self.command::<u64>(&add).await?;
        self.own.unless_over(life, room, |state| state.indexed.insert(room.clone()));
        Ok(())
    }

    /// Something was told under a life; if that was over meanwhile, perhaps after
    /// it was reaped.
    pub(super) fn left_by(&self, life: &LifeId, room: &RoomName) {
        self.own.unless_over(life, room, |_| true);
    }

    /// Has the lives of this process that are over reaped once more, where they
    /// may have left something. Answers which those are.
    pub(super) async fn own_up(&self) -> Result<Vec<LifeId>, Unavailable> {
        let left: Vec<_> = self.own.state().left.clone().into_iter().collect();
        let mut over = Vec::new();
        for (life, rooms) in left {
            let names: Vec<&str> = rooms.iter().map(RoomName::as_str).collect();
            for some in names.chunks(AT_ONCE) {
                let mut add = cmd("SADD");
                add.arg(self.names.rooms_of(&life)).arg(some);
                self.command::<u64>(&add).await?;
            }
            let mut dying = cmd("SADD");
            dying.arg(self.names.dying()).arg(life.as_str());
            self.command::<u64>(&dying).await?;
            self.own.owned_up(&life, &rooms);
            over.push(life);
        }
        Ok(over)
    }

    /// Forgets that this life had something in rooms that nobody follows any more.
    pub(super) async fn tidy(&self) -> Result<(), Unavailable> {
        let known: Vec<RoomName> = self.own.state().indexed.iter().cloned().collect();
        let life = self.life();
        let is_left = |room: &RoomName| !self.table().is_followed(&self.names.channel(room));
        for room in known.into_iter().filter(is_left) {
            // First here: should it be used again meanwhile, it is added again.
            self.own.state().indexed.remove(&room);
            let mut remove = cmd("SREM");
            remove.arg(self.names.rooms_of(&life)).arg(room.as_str());
            self.command::<u64>(&remove).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_life_told_when_it_was_over_is_remembered() {
        let own = OwnLife::new("a".into());
        let (life, room) = (own.present(), RoomName::named("r"));
        own.unless_over(&life, &room, |state| state.indexed.insert(room.clone()));
        assert!(own.state().left.is_empty());
        own.lives.write().unwrap().push(LifeId::random("a"));
        own.unless_over(&life, &room, |_| panic!("it is over"));
        assert!(own.state().left[&life].contains(&room));
        let late = RoomName::named("late");
        own.unless_over(&life, &late, |_| panic!("it is over"));
        own.owned_up(&life, &[room].into_iter().collect());
        assert_eq!(own.state().left[&life].len(), 1, "what came meanwhile is still to be said");
        own.owned_up(&life, &[late].into_iter().collect());
        assert!(own.state().left.is_empty());
    }
}
