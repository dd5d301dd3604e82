use std::time::{Duration, Instant};

use ahash::AHashMap;

use crate::model::LifeId;

/// The lives of other nodes, as this node sees them beat.
///
/// Whether one is over is told by this node's own clock and by what it saw
/// itself: no clock of another machine, and no time in which it saw nothing,
/// such as a Redis that was away, lets anybody seem dead.
#[derive(Default)]
pub(super) struct Lives {
    seen: AHashMap<LifeId, Seen>,
}

struct Seen {
    beat: u64,
    changed_at: Instant,
}

impl Lives {
    /// All lives that Redis counts, each with its beat. Answers those that stood
    /// still for longer than `patience`.
    pub(super) fn observe(
        &mut self,
        lives: Vec<(LifeId, u64)>,
        patience: Duration,
        now: Instant,
    ) -> Vec<(LifeId, u64)> {
        let mut before = std::mem::take(&mut self.seen);
        let mut dead = Vec::new();
        for (life, beat) in lives {
            let seen = match before.remove(&life) {
                Some(seen) if seen.beat == beat => seen,
                _ => Seen { beat, changed_at: now },
            };
            if now >= seen.changed_at + patience {
                dead.push((life.clone(), beat));
            }
            self.seen.insert(life, seen);
        }
        dead
    }

    /// This node saw nothing for a while: everybody's time begins anew.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// How many lives there are, this node's own among them.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_over_when_it_was_seen_to_stand_still() {
        let patience = Duration::from_secs(6);
        let (a, b) = (LifeId::random("a"), LifeId::random("b"));
        let start = Instant::now();
        let mut lives = Lives::default();
        let mut observe = |second, seen: &[(&LifeId, u64)]| {
            let seen = seen.iter().map(|(life, beat)| ((*life).clone(), *beat)).collect();
            let now = start + Duration::from_secs(second);
            lives.observe(seen, patience, now).into_iter().map(|(life, _)| life).collect::<Vec<_>>()
        };
        assert!(observe(0, &[(&a, 1), (&b, 1)]).is_empty());
        assert!(observe(5, &[(&a, 2), (&b, 1)]).is_empty());
        assert_eq!(observe(6, &[(&a, 3), (&b, 1)]), std::slice::from_ref(&b));
        assert!(observe(7, &[(&a, 3)]).is_empty());
        assert!(observe(8, &[(&a, 3), (&b, 1)]).is_empty(), "seen anew");
        lives.forget();
        let seen = vec![(a.clone(), 3)];
        assert!(lives.observe(seen, patience, start + Duration::from_secs(60)).is_empty());
    }
}
