use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{
    dedup::Dedup,
    durable::{Head, Kept, Mark},
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
    model::{
        Body, Draft, Epoch, Position, Publication, RoomName, Seq, Timestamp, UserId, WorkerId,
    },
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
    /// What of it was given to the store, where there is one.
    pub(super) kept: Kept,
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
            kept: Kept::default(),
        }
    }

    /// A room as the store has it, without its entries, nonces and state.
    pub(super) fn resumed(settings: RoomSettings, head: &Head, now: Timestamp) -> Self {
        let log = Log::resumed(head.end, head.clock);
        Self { log, seen: head.seen, used: head.used, ..Self::new(settings, now) }
    }

    /// All is put back. A room that is over its time stays for as long as members
    /// may take to come back.
    pub(super) fn is_back(&mut self, kept: Kept, now: Timestamp) {
        let used_at_least = now.saturating_sub(self.keep().saturating_sub(UNWRITTEN));
        self.used = self.used.max(used_at_least);
        self.kept = kept;
        self.log.trim(now, self.bounds());
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
        let (receipt, entry) = self.append(room, draft, now)?;
        if let Some(entry) = entry {
            if let Some(queue) = queue {
                queue.tell(room, &What::Message(entry.clone()));
            }
            self.hand_on(&Delivery::Published(entry));
        }
        Ok(receipt)
    }

    /// All of that but handing on: the entry, unless it is a duplicate.
    pub(super) fn append(
        &mut self,
        room: &RoomName,
        draft: Draft,
        now: Timestamp,
    ) -> Result<(Receipt, Option<Arc<Publication>>), PublishError> {
        // A retry is found before its condition is looked at: the write it
        // repeats is what changed the version.
        let user = draft.author.user.as_ref();
        if let Some(nonce) = &draft.nonce {
            self.dedup.expire(now, self.settings.dedup_window);
            if let Some(seq) = self.dedup.find(user, nonce) {
                let position = Position { seq, ..self.log.position() };
                return Ok((Receipt { position, duplicate: true }, None));
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
        Ok((Receipt { position, duplicate: false }, Some(entry)))
    }

    /// Puts back what the store has of the room: an entry, a nonce, a key.
    pub(super) fn put_back(&mut self, entry: Arc<Publication>) {
        self.log.put_back(entry);
    }

    pub(super) fn put_back_nonce(
        &mut self,
        then: Timestamp,
        user: Option<&UserId>,
        nonce: &Arc<str>,
        seq: Seq,
    ) {
        self.dedup.remember(then, user, nonce, seq, self.settings.dedup_entries);
    }

    pub(super) fn put_back_state(&mut self, key: &Arc<str>, value: Arc<RawValue>, version: Seq) {
        self.state.set(key, Some(value), version);
    }

    /// How far log and nonces reach, back and forth.
    pub(super) fn mark(&self) -> Mark {
        let last = self.log.position().seq;
        let nonces = self.dedup.oldest().unwrap_or(last + 1);
        Mark { last, floor: self.log.floor(), nonces, seen: self.seen }
    }

    /// What the store has of the room besides its contents.
    pub(super) fn head(&self, name: &RoomName) -> Head {
        Head {
            name: name.clone(),
            end: self.log.position(),
            floor: self.log.floor(),
            clock: self.log.clock(),
            seen: self.seen,
            used: self.used,
        }
    }

    /// Returns false if a subscriber dropped a message that is in no log.
    pub(super) fn hand_on(&self, delivery: &Delivery) -> bool {
        let mut taken = true;
        for subscriber in &self.subscribers {
            taken &= subscriber.deliver(delivery.clone());
        }
        taken
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

    pub(super) fn mark_seen(&mut self, epoch: Option<Epoch>, seq: Seq) {
        if epoch.is_some_and(|epoch| epoch != self.log.position().epoch) {
            return;
        }
        self.seen = self.seen.max(seq.min(self.log.position().seq));
        self.log.drop_through(self.seen);
    }

    /// Lets go of what is over its time; whether the room itself is.
    pub(super) fn expired(&mut self, now: Timestamp) -> bool {
        self.log.trim(now, self.bounds());
        self.dedup.expire(now, self.settings.dedup_window);
        self.subscribers.is_empty()
            && self.log.is_empty()
            && self.dedup.is_empty()
            && self.used.saturating_add(self.keep()) <= now
    }

    /// How long, in milliseconds, it is kept after it was used last.
    fn keep(&self) -> Timestamp {
        let RoomSettings { history_ttl, state_ttl, .. } = self.settings;
        if self.log.position().seq == 0 {
            UNWRITTEN
        } else if self.state.is_empty() {
            millis(history_ttl)
        } else {
            millis(history_ttl.max(state_ttl))
        }
    }
}

fn millis(time: Duration) -> Timestamp {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
