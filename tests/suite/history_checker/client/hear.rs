//! What a client hears: it writes it down, and remembers what it needs.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Writer, directs, signals};
use crate::history_checker::{
    parse,
    record::{Body, Event, Room, WriteId},
};

impl Writer {
    pub(super) fn hear(&mut self, message: &Value) {
        if let Err(what) = self.try_hear(message) {
            self.strange(self.room_of(message), what);
        }
    }

    fn room_of(&self, message: &Value) -> Option<Room> {
        let name = message["room"].as_str()?;
        self.world.rooms.iter().position(|room| room == name)
    }

    fn try_hear(&mut self, message: &Value) -> Result<(), String> {
        let kind = parse::text(message, "type")?;
        if let "ack" | "error" = kind {
            return self.answer(message);
        }
        if kind == "direct" {
            return self.hear_direct(message);
        }
        let Some(room) = self.room_of(message) else {
            return match kind {
                "closing" | "reauthenticate" | "online" => Ok(()),
                _ => Err(format!("nobody asked for {message}")),
            };
        };
        let name = &self.world.rooms[room];
        match kind {
            "joined" => {
                let (joined, members) =
                    parse::joined(message, name, &self.history.user, &self.world.entries)?;
                let known = &mut self.rooms[room];
                let asked = if message["id"].is_null() { None } else { known.asking.take() };
                if asked.is_none() && !message["id"].is_null() {
                    return Err(format!("nobody asked for {message}"));
                }
                known.joined = true;
                known.position = Some(joined.end.clone());
                let versions = joined.state.iter();
                known.versions = versions.map(|(key, (_, it))| (key.clone(), *it)).collect();
                known.members = members;
                self.note(Event::Joined { room, asked, joined });
            }
            "left" => {
                let known = &mut self.rooms[room];
                (known.joined, known.leaving) = (false, false);
                self.note(Event::Left { room });
            }
            "chat" | "event" | "set" => {
                let (seq, entry) =
                    parse::entry(message, name, &self.history.user, &self.world.entries)?;
                let known = &mut self.rooms[room];
                if let Some(position) = &mut known.position {
                    position.seq = position.seq.max(seq);
                }
                if let Body::Set { key, value } = &entry.body {
                    match value {
                        Some(_) => known.versions.insert(key.clone(), seq),
                        None => known.versions.remove(key),
                    };
                }
                self.note(Event::Live { room, seq, entry });
            }
            "presence" => {
                let known = &mut self.rooms[room];
                parse::fold(&mut known.members, message)?;
                let count = parse::number(message, "count")?;
                if known.joined && known.members.len() as u64 != count {
                    return Err(format!("{:?} after {message}", known.members));
                }
            }
            "signal" => self.hear_signal(room, message)?,
            "typing" => {
                let user = parse::text(message, "user")?.to_owned();
                let active = message["active"].as_bool();
                let active = active.ok_or_else(|| format!("no `active` in {message}"))?;
                self.note(Event::Typing { room, user, active });
            }
            _ => return Err(format!("nobody asked for {message}")),
        }
        Ok(())
    }

    fn answer(&mut self, message: &Value) -> Result<(), String> {
        let id = parse::text(message, "id")?;
        let wait = Duration::from_millis(message["retry_after_ms"].as_u64().unwrap_or(100));
        let again = Instant::now() + wait.max(Duration::from_millis(20));
        let code = message["code"].as_str();
        let refused = code == Some("unavailable");
        if let Some(direct) = id.strip_prefix(directs::ID) {
            return self.answer_direct(direct, message, again);
        }
        if let Some(signal) = id.strip_prefix(signals::ID) {
            return self.answer_signal(signal, message);
        }
        if id == directs::SEEN {
            let fine = code.is_none() || refused;
            return if fine { Ok(()) } else { Err(format!("`seen` is answered with {message}")) };
        }
        if let Some(("join", room)) = id.split_once('/') {
            let room: Room = room.parse().map_err(|_| format!("not an id of ours: {message}"))?;
            self.rooms[room].asking = None;
            self.rooms[room].not_before = Some(again);
            if !refused {
                return Err(format!("a join is answered with {message}"));
            }
            self.note(Event::Unavailable { room, what: "join".to_owned() });
            return Ok(());
        }
        let write = WriteId::parse(id).filter(|it| self.pending.contains_key(&it.number));
        let Some(WriteId { number: write, .. }) = write else {
            return Err(format!("nothing waits for {message}"));
        };
        let room = self.history.writes[write].room;
        match code {
            None => {
                let at = parse::position(message)?;
                let duplicate = message["duplicate"] == true;
                self.pending.remove(&write);
                let last = self.written.entry(room).or_insert_with(|| at.clone());
                if last.epoch != at.epoch || last.seq < at.seq {
                    *last = at.clone();
                }
                self.note(Event::Acked { room, write, at, duplicate });
            }
            Some("conflict") => {
                let current = parse::current(message)?;
                self.pending.remove(&write);
                self.note(Event::Conflict { room, write, current });
            }
            Some("unavailable") => {
                self.pending.insert(write, Some(again));
                self.note(Event::Unavailable { room, what: format!("c{}/{write}", self.number) });
            }
            Some(_) => {
                self.pending.insert(write, Some(again));
                return Err(format!("a write is answered with {message}"));
            }
        }
        Ok(())
    }
}
