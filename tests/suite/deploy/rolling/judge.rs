use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::client::{Heard, Record};
use crate::harness::Client;

/// All that was written in a room.
pub struct Log {
    pub room: String,
    entries: Vec<Heard>,
}

impl Log {
    /// Reads it page by page.
    pub async fn read(reader: &mut Client, room: &str) -> Self {
        let mut entries: Vec<Heard> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |(seq, _)| *seq);
            let question = json!({"type": "history", "room": room, "after": after, "limit": 1000});
            let page = reader.ask(question, "history").await;
            for message in page["messages"].as_array().expect("messages") {
                let content = message["content"].as_str().expect("a content").to_owned();
                entries.push((message["seq"].as_u64().expect("a seq"), content));
            }
            if page["more"] == false {
                return Self { room: room.to_owned(), entries };
            }
        }
    }

    pub fn end(&self) -> u64 {
        self.entries.last().map_or(0, |(seq, _)| *seq)
    }
}

/// Nothing that was acknowledged is missing, nothing is there twice, what each
/// writer wrote stands in its order, and every client was told the log from where it
/// came, each message once and in order.
pub fn judge(records: &[Record], logs: &[Log]) {
    for log in logs {
        let places: Vec<u64> = log.entries.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(places, (1..=log.end()).collect::<Vec<_>>(), "places of {}", log.room);
        let texts: BTreeSet<&str> = log.entries.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts.len(), log.entries.len(), "{} has a message twice", log.room);

        let acknowledged: BTreeSet<&Heard> = records
            .iter()
            .flat_map(|record| &record.acknowledged)
            .filter(|(room, _)| *room == log.room)
            .map(|(_, heard)| heard)
            .collect();
        let written: BTreeSet<&Heard> = log.entries.iter().collect();
        let lost: Vec<_> = acknowledged.difference(&written).collect();
        assert!(lost.is_empty(), "{} lost {lost:?}", log.room);
        let more: Vec<_> = written.difference(&acknowledged).collect();
        assert!(more.is_empty(), "{} has what nobody has acks for: {more:?}", log.room);
        in_their_writers_order(log);

        for record in records {
            let Some(told) = record.heard.get(&log.room) else { continue };
            let due: Vec<&Heard> =
                log.entries.iter().filter(|(seq, _)| *seq > told.after).collect();
            let heard: Vec<&Heard> = told.messages.iter().collect();
            assert!(heard == due, "{} in {}: {heard:?}, not {due:?}", record.user, log.room);
        }
    }
}

fn in_their_writers_order(log: &Log) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, text) in &log.entries {
        let (user, number) = text.split_once('/').expect("a user and a number");
        let number = number.parse().expect("a number");
        let before = last.insert(user, number);
        assert!(before < Some(number), "{text} comes after {before:?} in {}", log.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::rolling::client::Told;

    fn log(texts: &[&str]) -> Log {
        let entries = texts.iter().zip(1..).map(|(text, seq)| (seq, (*text).to_owned())).collect();
        Log { room: "room".to_owned(), entries }
    }

    fn record(log: &Log) -> Record {
        let acknowledged = log.entries.iter().map(|it| (log.room.clone(), it.clone())).collect();
        let told = Told { after: 1, messages: log.entries[1..].to_vec() };
        let heard = [(log.room.clone(), told)].into();
        Record { user: "u1".to_owned(), heard, acknowledged, returned: Vec::new() }
    }

    /// Breaks a right record and log in one way.
    fn judged(breaks: impl Fn(&mut Record, &mut Log)) {
        let mut log = log(&["u1/0", "u2/0", "u1/2", "u2/1"]);
        let mut record = record(&log);
        breaks(&mut record, &mut log);
        judge(&[record], &[log]);
    }

    #[test]
    fn what_is_right_is_taken() {
        judged(|_, _| {});
    }

    #[test]
    #[should_panic(expected = "lost")]
    fn what_was_acknowledged_has_to_be_there() {
        judged(|_, log| drop(log.entries.pop()));
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn nothing_may_be_doubled() {
        judged(|_, log| log.entries[3].1 = "u1/2".to_owned());
    }

    #[test]
    #[should_panic(expected = "comes after")]
    fn writers_keep_their_order() {
        judged(|record, log| {
            log.entries[0].1 = "u1/3".to_owned();
            record.acknowledged[0].1.1 = "u1/3".to_owned();
        });
    }

    #[test]
    #[should_panic(expected = "u1 in room")]
    fn a_reader_is_told_all() {
        judged(|record, _| drop(record.heard.get_mut("room").unwrap().messages.remove(0)));
    }

    #[test]
    #[should_panic(expected = "u1 in room")]
    fn a_reader_is_told_once() {
        judged(|record, _| {
            let told = record.heard.get_mut("room").unwrap();
            told.messages.push(told.messages[2].clone());
        });
    }
}
