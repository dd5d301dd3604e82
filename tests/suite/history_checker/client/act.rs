//! What a client does of its own accord.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{End, Known, Phase, Writer};
use crate::history_checker::record::{Asked, Draft, Event, Room, What, WriteId};

/// Writes that one client has on their way at once.
const WINDOW: usize = 12;
/// Keys of shared state in each room.
const KEYS: u64 = 4;

impl Writer {
    /// One step of its own.
    pub(super) fn act(&mut self) -> Option<End> {
        let phase = self.phase();
        if phase == Phase::Stop {
            return Some(End::Stop);
        }
        self.follow_wishes();
        self.send_pending();
        match phase {
            Phase::Finish => return self.finish(),
            Phase::Calm => {
                self.send_last_signals();
                return None;
            }
            Phase::Work | Phase::Stop => {}
        }
        if self.world.setup.small_rooms && !self.write_bursts() {
            return None;
        }
        let joined: Vec<Room> = self.joined_rooms();
        let choice = self.random.within(0..100);
        match choice {
            // Members of small rooms meet less often, so they stay longer.
            0..=6 if self.world.setup.small_rooms && self.random.within(0..4) > 0 => {}
            0..=3 => {
                // In the midst of writing, so that answers are lost.
                for room in joined {
                    let choice = self.random.within(7..85);
                    self.write(room, choice);
                }
                self.cuts = true;
            }
            4..=6 => {
                let room = self.random.within(0..self.rooms.len() as u64) as usize;
                self.rooms[room].wanted ^= self.world.setup.may_join(self.number, room);
            }
            7.. if joined.is_empty() || self.pending.len() >= WINDOW => {}
            7..=84 => {
                let room = joined[self.random.within(0..joined.len() as u64) as usize];
                self.write(room, choice);
            }
            85..=88 => self.send_direct(),
            89..=90 => self.see(),
            91..=99 if !joined.is_empty() => {
                let room = joined[self.random.within(0..joined.len() as u64) as usize];
                self.send_signals(room, choice);
            }
            _ => {}
        }
        None
    }

    /// Where it may write.
    pub(super) fn joined_rooms(&self) -> Vec<Room> {
        self.rooms_where(|known| known.joined && !known.leaving)
    }

    fn rooms_where(&self, is: impl Fn(&Known) -> bool) -> Vec<Room> {
        (0..self.rooms.len()).filter(|room| is(&self.rooms[*room])).collect()
    }

    pub(super) fn write(&mut self, room: Room, choice: u64) {
        let what = match choice {
            7..=44 => What::Chat,
            45..=54 => What::Event,
            _ => {
                let key = format!("key-{}", self.random.within(0..KEYS));
                let known = self.rooms[room].versions.get(&key).copied().unwrap_or(0);
                What::Set {
                    if_version: (choice >= 68).then_some(known),
                    delete: self.random.within(0..6) == 0,
                    key,
                }
            }
        };
        let echo = matches!(what, What::Set { .. }) || self.random.within(0..10) > 0;
        self.draft(Draft { room, what, echo });
    }

    fn draft(&mut self, draft: Draft) {
        let write = self.history.writes.len();
        self.history.writes.push(draft);
        self.send(write);
    }

    fn send(&mut self, write: usize) {
        let id = WriteId { client: self.number, number: write };
        let text = id.to_string();
        let draft = &self.history.writes[write];
        let room = draft.room;
        let mut message = json!({"room": self.world.rooms[room], "nonce": text, "id": text});
        match &draft.what {
            What::Chat => {
                message["type"] = "chat".into();
                message["content"] = text.into();
            }
            What::Event => {
                message["type"] = "publish".into();
                message["event"] = "said".into();
                message["data"] = text.into();
            }
            What::Set { key, delete, if_version } => {
                message["type"] = "set".into();
                message["key"] = key.as_str().into();
                message["value"] = if *delete { Value::Null } else { text.into() };
                if let Some(version) = if_version {
                    message["if_version"] = (*version).into();
                }
            }
        }
        if !draft.echo {
            message["echo"] = false.into();
        }
        self.out.push(message);
        self.pending.insert(write, None);
        self.note(Event::Sent { room, write });
    }

    /// Sends again what is due in rooms where it may write.
    fn send_pending(&mut self) {
        let now = Instant::now();
        let due = |(write, at): (&usize, &Option<Instant>)| {
            let known = &self.rooms[self.history.writes[*write].room];
            let may = known.joined && !known.leaving;
            (may && at.is_some_and(|at| at <= now)).then_some(*write)
        };
        let due: Vec<usize> = self.pending.iter().filter_map(due).collect();
        for write in due {
            self.send(write);
        }
        self.send_pending_directs(now);
    }

    /// Joins and leaves so that it is where it wants to be.
    fn follow_wishes(&mut self) {
        let waiting: BTreeSet<Room> =
            self.pending.keys().map(|write| self.history.writes[*write].room).collect();
        for room in 0..self.rooms.len() {
            let name = self.world.rooms[room].clone();
            let known = &mut self.rooms[room];
            // It stays until its writes are answered.
            known.wanted |= waiting.contains(&room);
            let busy = known.asking.is_some() || known.leaving;
            if busy || known.not_before.is_some_and(|at| at > Instant::now()) {
                continue;
            }
            if known.wanted && !known.joined {
                let resume = self.random.within(0..5) > 0;
                let history = (self.random.within(0..4) == 0).then(|| self.random.within(1..80));
                let since = known.position.clone().filter(|_| resume);
                let mut message =
                    json!({"type": "join", "room": name, "id": format!("join/{room}")});
                if let Some(since) = &since {
                    message["since"] = json!({"epoch": *since.epoch, "seq": since.seq});
                }
                if let Some(history) = history {
                    message["history"] = history.into();
                }
                known.asking = Some(Asked { since, history });
                self.out.push(message);
            } else if !known.wanted && known.joined {
                known.leaving = true;
                let id = format!("leave/{room}");
                self.out.push(json!({"type": "leave", "room": name, "id": id}));
            }
        }
    }

    /// Seals its rooms; then goes, or leaves some, or waits for the end.
    fn finish(&mut self) -> Option<End> {
        for room in self.rooms_where(|known| known.joined && !known.sealed && !known.leaving) {
            if self.pending.keys().any(|write| self.history.writes[*write].room == room) {
                continue;
            }
            self.rooms[room].sealed = true;
            self.draft(Draft { room, what: What::Chat, echo: true });
        }
        if !std::mem::replace(&mut self.sent_last_direct, true) {
            self.send_direct();
        }
        let quiet = self.pending.is_empty()
            && self.pending_directs.is_empty()
            && self.rooms.iter().all(|it| !it.wanted || (it.joined && it.sealed));
        if quiet && self.goes() {
            return Some(End::Gone);
        }
        for room in 0..self.rooms.len() {
            self.rooms[room].wanted &= !(quiet && self.leaves(room));
        }
        None
    }
}
