//! Messages to users: sent, answered, received, and seen.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Writer;
use crate::history_checker::{
    parse,
    record::{Event, WriteId},
};

/// What the ids of direct messages begin with.
pub(super) const ID: &str = "direct/";
/// The id of `seen`.
pub(super) const SEEN: &str = "seen";

impl Writer {
    /// Writes to another user.
    pub(super) fn send_direct(&mut self) {
        let users = self.world.setup.users as u64;
        let other = self.random.within(1..users);
        let to = format!("u{}", (self.number as u64 + other) % users);
        let direct = self.history.directs.len();
        self.history.directs.push(to);
        self.send_direct_again(direct);
    }

    fn send_direct_again(&mut self, direct: usize) {
        let text = WriteId { client: self.number, number: direct }.to_string();
        let to = &self.history.directs[direct];
        let id = format!("{ID}{text}");
        self.out.push(json!({
            "type": "direct", "to": to, "content": text, "nonce": format!("d{text}"), "id": id,
        }));
        self.pending_directs.insert(direct, None);
        self.note(Event::DirectSent { direct });
    }

    pub(super) fn send_pending_directs(&mut self, now: Instant) {
        let due = self.pending_directs.iter();
        let due = due.filter(|(_, at)| at.is_some_and(|at| at <= now)).map(|(direct, _)| *direct);
        for direct in due.collect::<Vec<_>>() {
            self.send_direct_again(direct);
        }
    }

    pub(super) fn answer_direct(
        &mut self,
        direct: &str,
        answer: &Value,
        again: Instant,
    ) -> Result<(), String> {
        let id = WriteId::parse(direct).filter(|id| self.pending_directs.contains_key(&id.number));
        let Some(WriteId { number: direct, .. }) = id else {
            return Err(format!("nothing waits for {answer}"));
        };
        match answer["code"].as_str() {
            None => {
                let at = parse::inbox_position(answer)?;
                self.pending_directs.remove(&direct);
                let to = self.history.directs[direct].clone();
                let last = self.directs.entry(to).or_insert_with(|| at.clone());
                if last.epoch != at.epoch || last.seq < at.seq {
                    *last = at.clone();
                }
                let duplicate = answer["duplicate"] == true;
                self.note(Event::DirectAcked { direct, at, duplicate });
                Ok(())
            }
            code => {
                self.pending_directs.insert(direct, Some(again));
                match code {
                    Some("unavailable") => Ok(()),
                    _ => Err(format!("a direct is answered with {answer}")),
                }
            }
        }
    }

    pub(super) fn hear_direct(&mut self, message: &Value) -> Result<(), String> {
        let (from, to) = (parse::text(message, "from")?, parse::text(message, "to")?);
        let direct = parse::write_id(message, "content")?;
        let at = match message["seq"].is_null() {
            true => None,
            false => Some(parse::inbox_position(message)?),
        };
        if let Some(at) = &at {
            let known = self.inbox.clone().ok_or("a direct before `welcome`")?;
            let epoch = at.epoch.clone().or(known.epoch);
            self.inbox = Some(crate::history_checker::record::InboxPosition { epoch, seq: at.seq });
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        self.note(Event::Direct { from, to, direct, at });
        Ok(())
    }

    /// Says that it has seen all that came. Where the inbox may begin anew, a
    /// place without its epoch could be one of the next inbox.
    pub(super) fn see(&mut self) {
        let Some(at) = self.inbox.clone() else { return };
        let mut message = json!({"type": "seen", "seq": at.seq, "id": SEEN});
        match &at.epoch {
            Some(epoch) => message["epoch"] = (**epoch).into(),
            None if self.world.setup.losing => return,
            None => {}
        }
        self.out.push(message);
        self.note(Event::Seen { at });
    }
}
