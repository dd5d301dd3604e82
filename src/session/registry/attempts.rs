use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ahash::AHashMap;

use crate::{cluster::Attempt, model::UserId, session::rate::Bucket};

/// Who has tried to connect of late.
pub(super) struct Attempts {
    per_second: u32,
    buckets: Mutex<AHashMap<Who, Bucket>>,
}

#[derive(PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    User(UserId),
}

impl Attempts {
    /// Nobody has. Each may so often a second, and as often at once.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, buckets: Mutex::default() }
    }

    /// Somebody tries.
    ///
    /// # Errors
    /// How long to wait where it was too often.
    pub(super) fn count(&self, who: Attempt<'_>, now: Instant) -> Result<(), Duration> {
        let who = match who {
            Attempt::Address(address) => Who::Address(address),
            Attempt::User(user) => Who::User(user.clone()),
        };
        let full = || Bucket::new(self.per_second, self.per_second, now);
        self.with(|buckets| buckets.entry(who).or_insert_with(full).take(now))
    }

    /// Forgets who has not tried for a while.
    pub(super) fn sweep(&self, now: Instant) {
        self.with(|buckets| {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.is_empty() {
                buckets.shrink_to_fit();
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut AHashMap<Who, Bucket>) -> T) -> T {
        act(&mut self.buckets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_users_have_buckets_of_their_own_until_these_are_full_again() {
        let attempts = Attempts::new(1);
        let now = Instant::now();
        let ada = UserId::parse("ada").unwrap();
        let address = Attempt::Address(IpAddr::from([127, 0, 0, 1]));
        for who in [address, Attempt::User(&ada)] {
            assert_eq!(attempts.count(who, now), Ok(()));
            assert!(attempts.count(who, now).is_err());
        }
        attempts.sweep(now);
        attempts.with(|buckets| assert_eq!(buckets.len(), 2));
        attempts.sweep(now + Duration::from_secs(2));
        attempts.with(|buckets| assert!(buckets.is_empty()));
    }
}
