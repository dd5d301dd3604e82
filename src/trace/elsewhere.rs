use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use super::shown;
use crate::{
    cluster::{Whisper, Wish},
    model::Happening,
};

/// A wish that was not heard again for so long is over.
const HOLDS: Duration = Duration::from_secs(5);

/// So many wishes of other nodes are heeded.
const WISHES: usize = 128;

/// So much waits to be told to another node about one of its traces.
const QUEUE: usize = 512;

/// The traces of other nodes, and what they are to be told.
#[derive(Default)]
pub(super) struct Elsewhere(Vec<Wished>);

struct Wished {
    origin: u64,
    wish: Wish,
    until: Instant,
    waiting: VecDeque<Happening>,
    dropped: u64,
}

impl Elsewhere {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These are all wishes of a node now.
    pub(super) fn wish(&mut self, origin: u64, wishes: Vec<Wish>, now: Instant) {
        let until = now + HOLDS;
        self.0.retain_mut(|known| {
            if known.origin != origin {
                return true;
            }
            known.until = until;
            wishes.iter().any(|wish| wish.trace == known.wish.trace)
        });
        for wish in wishes {
            let known = self.0.iter().any(|it| it.origin == origin && it.wish.trace == wish.trace);
            if !known && self.0.len() < WISHES {
                let waiting = VecDeque::new();
                self.0.push(Wished { origin, wish, until, waiting, dropped: 0 });
            }
        }
    }

    pub(super) fn note(&mut self, happening: &Happening) {
        for wished in self.0.iter_mut().filter(|it| it.wish.subject.is_in(happening)) {
            if wished.waiting.len() < QUEUE {
                wished.waiting.push_back(shown(&wished.wish, happening));
            } else {
                wished.dropped += 1;
            }
        }
    }

    /// What is to be said now, at most so many happenings about each trace; forgets
    /// wishes that are over.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Vec<Whisper> {
        self.0.retain(|wished| wished.until > now);
        let due = self.0.iter_mut().filter(|it| !it.waiting.is_empty() || it.dropped > 0);
        due.map(|wished| Whisper::Happened {
            origin: wished.origin,
            trace: wished.wish.trace,
            happenings: wished.waiting.drain(..wished.waiting.len().min(most)).collect(),
            dropped: mem::take(&mut wished.dropped),
        })
        .collect()
    }
}
