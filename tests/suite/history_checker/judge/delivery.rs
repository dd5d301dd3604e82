//! Live delivery never stands still: what was acknowledged comes in time to every
//! member who was there, over the connection that they had.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Clock, Law, Violation, logs::Logs};
use crate::history_checker::record::{
    At, Body, ClientHistory, Entry, Event, History, Position, Room,
};

/// A client as a member of one room on one connection, from one `joined` to the
/// next, or until it left or its connection ended.
pub struct Stay {
    pub node: usize,
    pub room: Room,
    pub joined: Position,
    pub from: At,
    pub until: At,
    /// What came on the reliable lane, and each key's sets, with their moments.
    reliable: Vec<(u64, At)>,
    sets: HashMap<String, Vec<(u64, At)>>,
}

/// The stays of one client, in the order of their ends.
pub fn stays(client: &ClientHistory, ends: At) -> Vec<Stay> {
    let mut over = Vec::new();
    let mut open: BTreeMap<Room, Stay> = BTreeMap::new();
    let mut on = 0;
    let mut end = |stay: Stay, at: At| over.push(Stay { until: at, ..stay });
    for (at, event) in &client.events {
        match event {
            Event::Connected { .. } | Event::Disconnected { .. } => {
                std::mem::take(&mut open).into_values().for_each(|stay| end(stay, *at));
                if let Event::Connected { node, .. } = event {
                    on = *node;
                }
            }
            Event::Joined { room, joined, .. } => {
                let stay = Stay {
                    node: on,
                    room: *room,
                    joined: joined.end.clone(),
                    from: *at,
                    until: ends,
                    reliable: Vec::new(),
                    sets: HashMap::new(),
                };
                open.insert(*room, stay).into_iter().for_each(|stay| end(stay, *at));
            }
            Event::Left { room } => {
                open.remove(room).into_iter().for_each(|stay| end(stay, *at));
            }
            Event::Live { room, seq, entry } => {
                if let Some(stay) = open.get_mut(room) {
                    match &entry.body {
                        Body::Set { key, .. } => {
                            stay.sets.entry(key.clone()).or_default().push((*seq, *at));
                        }
                        Body::Chat(_) | Body::Event(_) => stay.reliable.push((*seq, *at)),
                    }
                }
            }
            _ => {}
        }
    }
    open.into_values().for_each(|stay| end(stay, ends));
    over
}

impl Stay {
    /// When the entry at `seq` came, or one that takes its place.
    fn received(&self, seq: u64, entry: &Entry) -> Option<At> {
        let came = match &entry.body {
            Body::Set { key, .. } => self.sets.get(key)?,
            Body::Chat(_) | Body::Event(_) => &self.reliable,
        };
        came.get(came.partition_point(|(other, _)| *other < seq)).map(|(_, at)| *at)
    }
}

/// When each place of each log was first acknowledged.
type Acknowledged = HashMap<(Room, Arc<str>), BTreeMap<u64, At>>;

fn acknowledged(history: &History) -> Acknowledged {
    let mut places = Acknowledged::new();
    for (at, event) in history.clients.iter().flat_map(|client| &client.events) {
        if let Event::Acked { room, at: place, .. } = event {
            let log = places.entry((*room, Arc::clone(&place.epoch))).or_default();
            let first = log.entry(place.seq).or_insert(*at);
            *first = (*first).min(*at);
        }
    }
    places
}

pub fn check(history: &History, logs: &Logs, clock: &Clock<'_>, found: &mut Vec<Violation>) {
    let acknowledged = acknowledged(history);
    for (number, client) in history.clients.iter().enumerate() {
        for stay in stays(client, history.ends) {
            let places = acknowledged.get(&(stay.room, Arc::clone(&stay.joined.epoch)));
            let log = logs.get(stay.room, &stay.joined.epoch);
            let (Some(places), Some(log)) = (places, log) else { continue };
            let late = places.range(stay.joined.seq + 1..).find_map(|(seq, at)| {
                let entry = log.entries.get(seq)?;
                let deadline = clock.deadline(stay.node, stay.from.max(*at));
                let judged = deadline <= stay.until
                    && !clock.may_be_lost(*at, deadline)
                    && !is_unechoed(client, number, entry);
                let came = stay.received(*seq, entry);
                let late = judged && came.is_none_or(|came| came > deadline);
                late.then_some((*seq, entry, *at, deadline, came))
            });
            if let Some((seq, entry, at, deadline, came)) = late {
                let came = match came {
                    Some(came) => format!("came at {:.3}", came.as_secs_f64()),
                    None => "never came".to_owned(),
                };
                let text = format!(
                    "{seq} `{entry}` was acknowledged at {:.3} and {came}, on a connection that \
                     was a member from {:.3} to {:.3}",
                    at.as_secs_f64(),
                    stay.from.as_secs_f64(),
                    stay.until.as_secs_f64(),
                );
                found.push(Violation {
                    law: Law::Stalled,
                    room: Some(stay.room),
                    client: Some(number),
                    at: Some(deadline),
                    text,
                });
            }
        }
    }
}

/// One's own write with `echo: false`, which need not come.
fn is_unechoed(client: &ClientHistory, number: usize, entry: &Entry) -> bool {
    let own = entry.write().filter(|write| write.client == number);
    own.and_then(|write| client.writes.get(write.number)).is_some_and(|draft| !draft.echo)
}
