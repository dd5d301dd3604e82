//! The logs of all rooms, put together out of what anybody was shown of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Law, Violation};
use crate::history_checker::record::{Body, Entry, Event, History, Position, Room, State};

/// One life of one room's log.
#[derive(Default)]
pub struct Log {
    pub entries: BTreeMap<u64, Arc<Entry>>,
    /// Where it ends, if it was read whole.
    pub end: Option<u64>,
    /// For each key its sets, by their place.
    sets: HashMap<String, BTreeMap<u64, Option<String>>>,
}

impl Log {
    fn add(&mut self, seq: u64, entry: &Arc<Entry>) {
        if let Body::Set { key, value } = &entry.body {
            self.sets.entry(key.clone()).or_default().insert(seq, value.clone());
        }
        self.entries.insert(seq, Arc::clone(entry));
    }

    /// The last set of `key` up to `seq`: its value, and its place.
    pub fn value_at(&self, key: &str, seq: u64) -> (Option<&str>, u64) {
        let last = self.sets.get(key).and_then(|sets| sets.range(..=seq).next_back());
        last.map_or((None, 0), |(at, value)| (value.as_deref(), *at))
    }

    /// The version that a compare-and-set finds behind `seq`.
    pub fn version_at(&self, key: &str, seq: u64) -> u64 {
        match self.value_at(key, seq) {
            (Some(_), version) => version,
            (None, _) => 0,
        }
    }

    /// Whether `key` was deleted behind `seq`, at whatever place.
    pub fn deleted_after(&self, key: &str, seq: u64) -> bool {
        let later = self.sets.get(key).map(|sets| sets.range(seq + 1..));
        later.is_some_and(|mut sets| sets.any(|(_, value)| value.is_none()))
    }

    /// The shared state behind `seq`.
    pub fn state_at(&self, seq: u64) -> State {
        let live = |key: &String| {
            let (value, version) = self.value_at(key, seq);
            Some((key.clone(), (value?.to_owned(), version)))
        };
        self.sets.keys().filter_map(live).collect()
    }
}

pub struct Logs(HashMap<(Room, Arc<str>), Log>);

impl Logs {
    /// Puts the logs together, and finds where two were shown different ones.
    pub fn gather(history: &History, found: &mut Vec<Violation>) -> Self {
        let mut logs = Self(HashMap::new());
        for view in &history.views {
            logs.read_whole(view.room, &view.end, &view.log, view.node, found);
        }
        for (number, client) in history.clients.iter().enumerate() {
            let mut epochs = HashMap::new();
            for (at, event) in &client.events {
                let (room, shown): (_, &[_]) = match event {
                    Event::Joined { room, joined, .. } => {
                        epochs.insert(*room, Arc::clone(&joined.end.epoch));
                        (*room, &joined.messages)
                    }
                    Event::Live { room, seq, entry } => (*room, &[(*seq, Arc::clone(entry))]),
                    _ => continue,
                };
                let Some(epoch) = epochs.get(&room) else { continue };
                for (seq, entry) in shown {
                    logs.see(room, epoch, *seq, entry, |law, text| {
                        let client = Some(number);
                        found.push(Violation {
                            law,
                            room: Some(room),
                            client,
                            at: Some(*at),
                            text,
                        });
                    });
                }
            }
        }
        logs
    }

    pub fn get(&self, room: Room, epoch: &Arc<str>) -> Option<&Log> {
        self.0.get(&(room, Arc::clone(epoch)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Room, &Log)> {
        self.0.iter().map(|((room, _), log)| (*room, log))
    }

    fn read_whole(
        &mut self,
        room: Room,
        end: &Position,
        entries: &[(u64, Arc<Entry>)],
        node: usize,
        found: &mut Vec<Violation>,
    ) {
        let mut report = |law, text| {
            found.push(Violation { law, room: Some(room), client: None, at: None, text });
        };
        let places = entries.iter().map(|(seq, _)| *seq);
        if !places.eq(1..=end.seq) {
            report(Law::BrokenLog, format!("the log of node {node} is not 1 to {}", end.seq));
        }
        let another = |((other, epoch), log): (&(Room, Arc<str>), &Log)| {
            *other == room && log.end.is_some() && *epoch != end.epoch
        };
        if self.0.iter().any(another) {
            report(Law::TwoOrders, format!("node {node} has another epoch than one before it"));
        }
        let log = self.0.entry((room, Arc::clone(&end.epoch))).or_default();
        if let Some(known) = log.end.filter(|known| *known != end.seq) {
            let text = format!("the log of node {node} ends at {}, not {known}", end.seq);
            report(Law::TwoOrders, text);
        }
        for (seq, entry) in entries {
            match log.entries.get(seq) {
                Some(known) if known == entry => {}
                Some(known) => {
                    let text = format!("{seq} is `{entry}` on node {node}, else `{known}`");
                    report(Law::TwoOrders, text);
                }
                None => log.add(*seq, entry),
            }
        }
        log.end = Some(end.seq);
    }

    fn see(
        &mut self,
        room: Room,
        epoch: &Arc<str>,
        seq: u64,
        entry: &Arc<Entry>,
        mut report: impl FnMut(Law, String),
    ) {
        let log = self.0.entry((room, Arc::clone(epoch))).or_default();
        match log.entries.get(&seq) {
            Some(known) if known == entry => {}
            Some(known) => report(
                Law::TwoOrders,
                format!(
                    "{seq} is `{entry}` ({}) here, else `{known}` ({})",
                    entry.timestamp, known.timestamp
                ),
            ),
            None if log.end.is_some() => {
                report(Law::Lost, format!("{seq} `{entry}` was shown, and is not in the log"));
            }
            None => log.add(seq, entry),
        }
    }

    /// Where no fault loses the log, each room has one epoch in the whole run.
    pub fn check_single_epoch(&self, history: &History, found: &mut Vec<Violation>) {
        let mut first: BTreeMap<Room, &Arc<str>> = BTreeMap::new();
        let mut reported = BTreeSet::new();
        for (number, client) in history.clients.iter().enumerate() {
            for (at, event) in &client.events {
                let (room, epoch) = match event {
                    Event::Joined { room, joined, .. } => (*room, &joined.end.epoch),
                    Event::Acked { room, at, .. } => (*room, &at.epoch),
                    _ => continue,
                };
                let known = *first.entry(room).or_insert(epoch);
                if known != epoch && reported.insert((room, epoch)) {
                    found.push(Violation {
                        law: Law::Epoch,
                        room: Some(room),
                        client: Some(number),
                        at: Some(*at),
                        text: format!("the epoch is {epoch}, it was {known}"),
                    });
                }
            }
        }
    }
}
