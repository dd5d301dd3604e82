use std::{sync::Arc, time::Duration};

use super::{
    dedup::Dedup,
    log::{Bounds, Log},
    state::State,
};
use crate::{
    backend::{Queue, What},
    broker::{
        Delivery, Inbox, Page, PageRequest, PublishError, Receipt, Snapshot, Start, StatePage,
        StateRequest, Subscriber,
    },
    config::RoomSettings,
    model::{Body, Draft, Position, Publication, RoomName, Seq, Timestamp, WorkerId},
};

/// How long, in milliseconds, a room that was never written to keeps its epoch
/// after its last member left: a lone member that blinks finds it again.
const UNWRITTEN: Timestamp = 300_000;

/// All that the embedded broker keeps of one room.
pub(super) struct Room {
    settings: RoomSettings,
    log: Log,
    state: State,
    dedup: Dedup,
    /// For an inbox: the last entry its user has seen.
    seen: Seq,
    subscribers: Vec<Subscriber>,
    /// When it was last written to or let go of.
    used: Timestamp,
}

impl Room {
    pub(super) fn new(settings: RoomSettings, now: Timestamp) -> Self {
        Self {
            settings,
            log: Log::new(),
            state: State::default(),
            dedup: Dedup::default(),
            seen: 0,
            subscribers: Vec::new(),
            used: now,
        }
    }

    /// About how many bytes of memory the room takes.
    pub(super) fn weight(&self) -> usize {
        /// A room without anything in it.
        const ROOM: usize = 512;
        ROOM + self.log.weight() + self.state.weight() + self.dedup.weight()
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            entries: self.settings.history_size,
            bytes: self.settings.history_bytes,
            age: self.settings.history_ttl,
        }
    }

    pub(super) fn subscribe(&mut self, subscriber: &Subscriber) -> Position {
        self.subscribers.retain(|known| known.worker() != subscriber.worker());
        self.subscribers.push(subscriber.clone());
        self.log.position()
    }

    pub(super) fn unsubscribe(&mut self, worker: WorkerId, now: Timestamp) {
        self.subscribers.retain(|known| known.worker() != worker);
        if self.subscribers.is_empty() {
            self.subscribers = Vec::new();
            self.used = self.used.max(now);
        }
    }

    /// Dedup, compare-and-set, place, log, state and handing on, in one step.
    pub(super) fn publish(
        &mut self,
        room: &RoomName,
        draft: Draft,
        now: Timestamp,
        queue: Option<&Queue>,
    ) -> Result<Receipt, PublishError> {
        // A retry is found before its condition is looked at: the write it
        // repeats is what changed the version.
        let user = draft.author.user.as_ref();
        if let Some(nonce) = &draft.nonce {
            self.dedup.expire(now, self.settings.dedup_window);
            if let Some(seq) = self.dedup.find(user, nonce) {
                let position = Position { seq, ..self.log.position() };
                return Ok(Receipt { position, duplicate: true });
            }
        }
        if let Body::Set { key, value } = &draft.body {
            let current = self.state.current(key);
            if draft.if_version.is_some_and(|expected| expected != current.version) {
                return Err(PublishError::Conflict(current));
            }
            let (keys, bytes) = (self.settings.state_keys, self.settings.state_bytes);
            if !self.state.has_room(key, value.as_deref(), keys, bytes) {
                return Err(PublishError::StateFull(format!("{keys} keys, {bytes} bytes")));
            }
        }

        let (position, timestamp) = self.log.next(now);
        if let Some(nonce) = &draft.nonce {
            let entries = self.settings.dedup_entries;
            self.dedup.remember(now, user, nonce, position.seq, entries);
        }
        if let Body::Set { key, value } = &draft.body {
            self.state.set(key, value.clone(), position.seq);
        }
        let entry = Arc::new(Publication {
            room: room.clone(),
            epoch: position.epoch,
            seq: position.seq,
            timestamp,
            author: draft.author,
            body: draft.body,
            nonce: draft.nonce,
        });
        self.used = now;
        self.log.append(entry.clone(), self.bounds());
        if let Some(queue) = queue {
            queue.tell(room, &What::Message(entry.clone()));
        }
        self.hand_on(&Delivery::Published(entry));
        Ok(Receipt { position, duplicate: false })
    }

    pub(super) fn hand_on(&self, delivery: &Delivery) {
        for subscriber in &self.subscribers {
            subscriber.deliver(delivery.clone());
        }
    }

    pub(super) fn snapshot(&mut self, start: Start, now: Timestamp) -> Snapshot {
        self.log.trim(now, self.bounds());
        let (recovered, messages) = self.log.read(start);
        let state = self.state.entries();
        Snapshot { position: self.log.position(), recovered, messages, state }
    }

    pub(super) fn page(&mut self, request: PageRequest, now: Timestamp) -> Page {
        self.log.trim(now, self.bounds());
        self.log.page(request)
    }

    pub(super) fn position(&self) -> Position {
        self.log.position()
    }

    pub(super) fn state(&self, request: &StateRequest) -> StatePage {
        let state = self.state.entries();
        StatePage::cut(self.log.position(), state, request)
    }

    pub(super) fn inbox(&mut self, now: Timestamp) -> Inbox {
        self.log.trim(now, self.bounds());
        Inbox {
            seen: Position { seq: self.seen, ..self.log.position() },
            end: self.log.position().seq,
            unseen: self.log.after(self.seen).cloned().collect(),
        }
    }

    pub(super) fn mark_seen(&mut self, seq: Seq) {
        self.seen = self.seen.max(seq.min(self.log.position().seq));
        self.log.drop_through(self.seen);
    }

    /// Lets go of what is over its time; whether the room itself is.
    pub(super) fn expired(&mut self, now: Timestamp) -> bool {
        self.log.trim(now, self.bounds());
        self.dedup.expire(now, self.settings.dedup_window);
        let RoomSettings { history_ttl, state_ttl, .. } = self.settings;
        let keep = if self.log.position().seq == 0 {
            UNWRITTEN
        } else if self.state.is_empty() {
            millis(history_ttl)
        } else {
            millis(history_ttl.max(state_ttl))
        };
        self.subscribers.is_empty()
            && self.log.is_empty()
            && self.dedup.is_empty()
            && self.used.saturating_add(keep) <= now
    }
}

fn millis(time: Duration) -> Timestamp {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
