//! Signals and typing: sent once, and heard from others.

use serde_json::{Value, json};

use super::Writer;
use crate::history_checker::{
    parse,
    record::{Event, Room, Signal, WriteId},
};

/// What the ids of signals begin with.
pub(super) const ID: &str = "signal/";

impl Writer {
    /// One or several in a row, of which all but the last may be left out.
    pub(super) fn send_signals(&mut self, room: Room, choice: u64) {
        for _ in 0..self.random.within(1..6) {
            let active = self.random.within(0..2) == 0;
            let signal = if choice >= 97 { Signal::Typing(active) } else { Signal::Event };
            self.send_signal(room, signal);
        }
    }

    fn send_signal(&mut self, room: Room, signal: Signal) {
        // Typing has one value for all sessions of a user, so only a user with one
        // client knows which of its values is the last.
        if matches!(signal, Signal::Typing(_)) && !self.is_only_client_of_user() {
            return;
        }
        let number = self.history.signals.len();
        let text = WriteId { client: self.number, number }.to_string();
        let mut message = json!({"room": self.world.rooms[room], "id": format!("{ID}{text}")});
        match signal {
            Signal::Event => {
                message["type"] = "signal".into();
                message["event"] = format!("at-c{}", self.number).into();
                message["data"] = text.into();
            }
            Signal::Typing(active) => {
                message["type"] = "typing".into();
                message["active"] = active.into();
            }
        }
        self.out.push(message);
        self.history.signals.push((room, signal));
        self.pending_signals.insert(number);
        self.note(Event::SignalSent { signal: number });
    }

    fn is_only_client_of_user(&self) -> bool {
        let setup = self.world.setup;
        (0..setup.clients).filter(|it| it % setup.users == self.number % setup.users).count() == 1
    }

    /// The last value for every room that it is in.
    pub(super) fn send_last_signals(&mut self) {
        for room in self.joined_rooms() {
            if self.calmed.insert(room) {
                self.send_signal(room, Signal::Typing(self.number.is_multiple_of(2)));
                self.send_signal(room, Signal::Event);
            }
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.pending_signals.is_empty()
            && self.joined_rooms().iter().all(|room| self.calmed.contains(room))
    }

    pub(super) fn answer_signal(&mut self, signal: &str, answer: &Value) -> Result<(), String> {
        let id = WriteId::parse(signal).filter(|id| self.pending_signals.remove(&id.number));
        let Some(WriteId { number: signal, .. }) = id else {
            return Err(format!("nothing waits for {answer}"));
        };
        match answer["code"].as_str() {
            None => {
                if let (room, Signal::Event) = self.history.signals[signal] {
                    self.signals.insert((room, self.number), signal);
                }
                self.note(Event::SignalAcked { signal });
                Ok(())
            }
            // It may have left the room meanwhile.
            Some("unavailable" | "not_joined") => {
                self.calmed.clear();
                Ok(())
            }
            Some(_) => Err(format!("a signal is answered with {answer}")),
        }
    }

    pub(super) fn hear_signal(&mut self, room: Room, message: &Value) -> Result<(), String> {
        let signal = parse::write_id(message, "data")?;
        if parse::text(message, "event")? != format!("at-c{}", signal.client) {
            return Err(format!("data of another event: {message}"));
        }
        let user = parse::text(message, "user")?.to_owned();
        self.signals.insert((room, signal.client), signal.number);
        self.note(Event::Signal { room, user, signal });
        Ok(())
    }
}
