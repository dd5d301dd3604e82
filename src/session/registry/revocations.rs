use std::sync::Arc;

use ahash::AHashMap;
use log::warn;

use crate::{
    auth::Identity,
    cluster::{Revocation, Tokens},
    model::{Timestamp, UserId},
};

/// So many are remembered; past that those go that end first.
const REMEMBERED: usize = 100_000;

/// What revocations look at in a token, besides its user.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    issued_at: Option<Timestamp>,
    id: Option<Arc<str>>,
}

impl From<&Identity> for Mark {
    fn from(identity: &Identity) -> Self {
        Self { issued_at: identity.issued_at, id: identity.token_id.clone() }
    }
}

impl Mark {
    /// Whether a revocation of these tokens is meant for this one of `user`.
    pub(super) fn is_among(&self, tokens: &Tokens, user: &UserId) -> bool {
        match tokens {
            Tokens::Named(id) => self.id.as_ref() == Some(id),
            Tokens::OfUser { user: revoked, issued_until } => {
                user == revoked && self.is_issued_by(*issued_until)
            }
        }
    }

    /// A time in whole seconds is that of the second's begin. So a token that
    /// bears such a one, of the second in which its user was revoked, counts as
    /// issued before that: it may have been.
    fn is_issued_by(&self, moment: Timestamp) -> bool {
        self.issued_at.is_none_or(|at| at <= moment)
    }
}

/// The revocations whose tokens might still be valid.
#[derive(Default)]
pub(super) struct Revocations {
    /// By `jti`, until when.
    named: AHashMap<Arc<str>, Timestamp>,
    of_users: AHashMap<UserId, OfUser>,
}

struct OfUser {
    issued_until: Timestamp,
    until: Timestamp,
}

impl OfUser {
    fn of(&self, user: UserId) -> Revocation {
        let tokens = Tokens::OfUser { user, issued_until: self.issued_until };
        Revocation { tokens, until: self.until }
    }
}

fn of_token(id: Arc<str>, until: Timestamp) -> Revocation {
    Revocation { tokens: Tokens::Named(id), until }
}

impl Revocations {
    /// Remembers one more. Several of one token or user become one, which takes
    /// in all of them. Answers those that are forgotten for it.
    pub(super) fn add(&mut self, Revocation { tokens, until }: &Revocation) -> Vec<Revocation> {
        match tokens {
            Tokens::Named(id) => {
                let known = self.named.entry(id.clone()).or_default();
                *known = (*known).max(*until);
            }
            Tokens::OfUser { user, issued_until } => {
                let known = self.of_users.entry(user.clone());
                let known = known.or_insert(OfUser { issued_until: 0, until: 0 });
                known.issued_until = known.issued_until.max(*issued_until);
                known.until = known.until.max(*until);
            }
        }
        self.shed(REMEMBERED)
    }

    /// Whether one of them is meant for this token of `user`.
    pub(super) fn cover(&self, user: &UserId, token: &Mark) -> bool {
        let named = token.id.as_ref().is_some_and(|id| self.named.contains_key(id));
        let of_user = self.of_users.get(user);
        named || of_user.is_some_and(|revoked| token.is_issued_by(revoked.issued_until))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Revocation> {
        self.over(Timestamp::MAX)
    }

    /// Those whose tokens have ended.
    pub(super) fn over(&self, now: Timestamp) -> Vec<Revocation> {
        let named = self.named.iter().filter(|(_, until)| **until <= now);
        let of_users = self.of_users.iter().filter(|(_, revoked)| revoked.until <= now);
        let named = named.map(|(id, until)| of_token(id.clone(), *until));
        named.chain(of_users.map(|(user, revoked)| revoked.of(user.clone()))).collect()
    }

    /// Forgets those whose tokens have ended.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.forget(now, usize::MAX);
    }

    fn len(&self) -> usize {
        self.named.len() + self.of_users.len()
    }

    /// Over the bound, lets those go that end first: more than one at a time, so
    /// that not every further one has to look for them.
    fn shed(&mut self, bound: usize) -> Vec<Revocation> {
        let before = self.len();
        if before <= bound {
            return Vec::new();
        }
        let mut ends: Vec<Timestamp> =
            self.named.values().copied().chain(self.of_users.values().map(|it| it.until)).collect();
        let surplus = before - bound + bound / 16;
        let (_, end, _) = ends.select_nth_unstable(surplus - 1);
        let gone = self.forget(*end, surplus);
        let count = gone.len();
        warn!("over {bound} revocations: {count} are forgotten, which were to end first");
        gone
    }

    /// At most so many of those that end by then; answers which.
    fn forget(&mut self, end: Timestamp, mut most: usize) -> Vec<Revocation> {
        let mut goes = |until: Timestamp| {
            let goes = until <= end && most > 0;
            most -= usize::from(goes);
            goes
        };
        let named = self.named.extract_if(|_, until| goes(*until));
        let mut gone: Vec<_> = named.map(|(id, until)| of_token(id, until)).collect();
        let of_users = self.of_users.extract_if(|_, revoked| goes(revoked.until));
        gone.extend(of_users.map(|(user, revoked)| revoked.of(user)));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn issued(at: Option<Timestamp>) -> Mark {
        Mark { issued_at: at, id: None }
    }

    fn of_user(name: &str, issued_until: Timestamp, until: Timestamp) -> Revocation {
        Revocation { tokens: Tokens::OfUser { user: user(name), issued_until }, until }
    }

    #[test]
    fn tokens_issued_up_to_the_moment_or_at_no_time_are_covered() {
        let mut revocations = Revocations::default();
        revocations.add(&of_user("ada", 5_300, 9_000));
        for (at, covered) in [
            (None, true),
            (Some(0), true),
            (Some(5_000), true),
            (Some(5_300), true),
            (Some(5_301), false),
            (Some(6_000), false),
        ] {
            assert_eq!(revocations.cover(&user("ada"), &issued(at)), covered, "{at:?}");
            assert!(!revocations.cover(&user("bob"), &issued(at)));
        }
        // An earlier moment that comes later takes nothing back.
        revocations.add(&of_user("ada", 1_000, 1_000));
        assert!(revocations.cover(&user("ada"), &issued(Some(5_300))));
    }

    #[test]
    fn a_named_token_is_covered_until_the_revocation_ends() {
        let mut revocations = Revocations::default();
        let mark = Mark { issued_at: Some(u64::MAX), id: Some("t-1".into()) };
        revocations.add(&Revocation { tokens: Tokens::Named("t-1".into()), until: 100 });
        assert!(revocations.cover(&user("ada"), &mark));
        revocations.sweep(99);
        assert!(revocations.cover(&user("ada"), &mark));
        assert_eq!((revocations.over(99).len(), revocations.over(100).len()), (0, 1));
        revocations.sweep(100);
        assert!(!revocations.cover(&user("ada"), &mark));
    }

    #[test]
    fn over_the_bound_those_go_that_end_first() {
        let mut revocations = Revocations::default();
        for n in 0..100 {
            revocations.add(&of_user(&format!("u{n}"), 10, 1_000 + n));
        }
        revocations.shed(100);
        assert_eq!(revocations.len(), 100);
        let gone = revocations.shed(99);
        assert_eq!(gone.iter().map(|it| it.until).max(), Some(1_006));
        assert_eq!((gone.len(), revocations.len()), (7, 93));
        assert!(!revocations.cover(&user("u0"), &issued(None)));
        assert!(revocations.cover(&user("u7"), &issued(None)));
    }

    #[test]
    fn revocations_that_end_together_do_not_all_go_at_once() {
        let mut revocations = Revocations::default();
        for n in 0..64 {
            revocations.add(&of_user(&format!("u{n}"), 10, 1_000));
        }
        revocations.shed(32);
        assert_eq!(revocations.len(), 30);
    }
}
