//! Which question is asked next.
//!
//! `ask.at_once` places are given in the order in which questions come. A user may have
//! a quarter of them and a room a half, so that neither a user with many sessions, nor a
//! room for which the backend is slow, keeps all places from everyone else. Questions
//! past a share wait for their own share first, and so hold no place in the common line.

use std::{
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use ahash::AHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::model::{RoomName, UserId};

/// The places for questions that are open.
pub(super) struct Turns {
    all: Semaphore,
    users: Shares<UserId>,
    rooms: Shares<RoomName>,
}

/// A question's place, until this is dropped.
pub(super) struct Turn<'a> {
    _place: Option<SemaphorePermit<'a>>,
    _room: Option<Share<'a, RoomName>>,
    _user: Option<Share<'a, UserId>>,
}

impl Turns {
    /// So many places.
    pub(super) fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Semaphore::new(places),
            users: Shares::new(places.div_ceil(4)),
            rooms: Shares::new(places.div_ceil(2)),
        }
    }

    /// Waits for a place for a question of this user about this room. Whoever waits holds
    /// what it waits for in one order (user, room, place), so no two wait for each other.
    pub(super) async fn take(&self, user: Option<&UserId>, room: Option<&RoomName>) -> Turn<'_> {
        let user = match user {
            Some(user) => Some(self.users.take(user).await),
            None => None,
        };
        let room = match room {
            Some(room) => Some(self.rooms.take(room).await),
            None => None,
        };
        // The semaphore is never closed.
        Turn { _place: self.all.acquire().await.ok(), _room: room, _user: user }
    }
}

/// How many places each of those may have who have or want one.
struct Shares<K: Eq + Hash> {
    most: usize,
    by_key: Mutex<AHashMap<K, Arc<Semaphore>>>,
}

/// A part of a share; made before it is waited for, so that a wait that is given up
/// leaves nothing behind.
struct Share<'a, K: Eq + Hash> {
    shares: &'a Shares<K>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
    semaphore: Arc<Semaphore>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    fn new(most: usize) -> Self {
        Self { most, by_key: Mutex::default() }
    }

    async fn take(&self, key: &K) -> Share<'_, K> {
        let semaphore = {
            let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.most));
            by_key.entry(key.clone()).or_insert_with(new).clone()
        };
        let mut share = Share { shares: self, key: key.clone(), permit: None, semaphore };
        share.permit = share.semaphore.clone().acquire_owned().await.ok();
        share
    }
}

impl<K: Eq + Hash> Drop for Share<'_, K> {
    fn drop(&mut self) {
        self.permit = None;
        let mut by_key = self.shares.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's and this one: nobody else has or wants a part, and nobody takes the
        // semaphore out of the table while it is locked.
        if Arc::strong_count(&self.semaphore) == 2 {
            by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::named(name)
    }

    #[tokio::test]
    async fn a_user_gets_a_quarter_and_a_room_a_half() {
        let turns = Turns::new(8);
        let (mallory, lobby) = (user("mallory"), RoomName::named("lobby"));
        let mut of_user: Vec<_> = (0..2).map(|_| turns.take(Some(&mallory), None)).collect();
        let first = of_user.pop().unwrap().await;
        let _second = of_user.pop().unwrap().await;
        assert!(turns.take(Some(&mallory), None).now_or_never().is_none());
        let mut of_room = Vec::new();
        for number in 0..4 {
            let user = user(&format!("user{number}"));
            of_room.push(turns.take(Some(&user), Some(&lobby)).await);
        }
        assert!(turns.take(None, Some(&lobby)).now_or_never().is_none());
        let _alice = turns.take(Some(&user("alice")), Some(&RoomName::named("other"))).await;
        drop(first);
        assert!(turns.take(Some(&mallory), None).now_or_never().is_some());
    }

    #[tokio::test]
    async fn waits_that_are_given_up_leave_nothing_behind() {
        let turns = Turns::new(1);
        let (mallory, lobby) = (user("mallory"), RoomName::named("lobby"));
        let turn = turns.take(Some(&mallory), Some(&lobby)).await;
        for _ in 0..3 {
            assert!(turns.take(Some(&mallory), Some(&lobby)).now_or_never().is_none());
            assert!(turns.take(Some(&user("alice")), Some(&lobby)).now_or_never().is_none());
            assert!(turns.take(Some(&user("alice")), None).now_or_never().is_none());
        }
        assert_eq!(turns.users.by_key.lock().unwrap().len(), 1);
        drop(turn);
        assert!(turns.users.by_key.lock().unwrap().is_empty());
        assert!(turns.rooms.by_key.lock().unwrap().is_empty());
        assert!(turns.take(Some(&mallory), Some(&lobby)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn places_are_given_in_the_order_in_which_they_were_asked_for() {
        let turns = Turns::new(1);
        let turn = turns.take(None, None).await;
        let (mut first, mut second) =
            (Box::pin(turns.take(None, None)), Box::pin(turns.take(None, None)));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(second.as_mut().now_or_never().is_none(), "overtook who came before");
        drop(first.as_mut().now_or_never().expect("its turn"));
        assert!(second.as_mut().now_or_never().is_some());
    }
}
