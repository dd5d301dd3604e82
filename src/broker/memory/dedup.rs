use std::{collections::VecDeque, sync::Arc, time::Duration};

use ahash::AHashMap;

use crate::model::{Seq, Timestamp, UserId};

/// A writer's nonce; backends write without a user too.
type Key = (Option<UserId>, Arc<str>);

/// Remembers which nonces were appended, each for a while.
///
/// It holds at most `entries` of them; past that the oldest is forgotten before
/// its time, so that a room written to without end cannot grow without end.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    places: AHashMap<Key, Seq>,
    order: VecDeque<(Timestamp, Key)>,
}

impl Dedup {
    /// The place of an earlier write of this user, or of none, with this nonce.
    pub(super) fn find(&self, user: Option<&UserId>, nonce: &Arc<str>) -> Option<Seq> {
        if self.places.is_empty() {
            return None;
        }
        self.places.get(&(user.cloned(), nonce.clone())).copied()
    }

    /// Remembers a write; the nonce must not be known yet.
    pub(super) fn remember(
        &mut self,
        now: Timestamp,
        user: Option<&UserId>,
        nonce: &Arc<str>,
        seq: Seq,
        entries: usize,
    ) {
        let key = (user.cloned(), nonce.clone());
        self.places.insert(key.clone(), seq);
        self.order.push_back((now, key));
        while self.order.len() > entries {
            self.forget_oldest();
        }
    }

    /// Forgets what is older than `window`.
    pub(super) fn expire(&mut self, now: Timestamp, window: Duration) {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        while self.order.front().is_some_and(|(then, ..)| then.saturating_add(window) <= now) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.places.capacity() > 0 {
            self.places = AHashMap::new();
            self.order = VecDeque::new();
        }
    }

    /// The place of the oldest write that is remembered.
    pub(super) fn oldest(&self) -> Option<Seq> {
        let (_, key) = self.order.front()?;
        self.places.get(key).copied()
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        /// A nonce, its user and its place, in the map and in the queue.
        const NONCE: usize = 200;
        self.order.len() * NONCE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.places.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_known_for_its_window_and_within_the_bound() {
        let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
        let nonce = |n: u64| -> Arc<str> { n.to_string().into() };
        let mut dedup = Dedup::default();
        for n in 1..=4 {
            dedup.remember(n * 100, Some(&alice), &nonce(n), n, 3);
        }
        assert_eq!(dedup.find(Some(&alice), &nonce(1)), None, "over the bound");
        assert_eq!(dedup.find(Some(&alice), &nonce(2)), Some(2));
        assert_eq!(dedup.find(Some(&bob), &nonce(2)), None, "another user");
        assert_eq!(dedup.find(None, &nonce(2)), None, "nobody is another");
        dedup.expire(350, Duration::from_millis(100));
        assert_eq!(dedup.find(Some(&alice), &nonce(2)), None, "over the window");
        assert_eq!(dedup.find(Some(&alice), &nonce(3)), Some(3));
        dedup.expire(5000, Duration::from_millis(100));
        assert!(dedup.places.is_empty() && dedup.order.is_empty());
    }
}
