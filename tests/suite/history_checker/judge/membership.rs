//! What each member was told: `joined` first, then the log from there on, in
//! order, without a hole and without a repeat, up to its end.

use std::collections::{BTreeMap, HashMap};

use super::{
    Law, Violation,
    logs::{Log, Logs},
    state,
};
use crate::history_checker::record::{
    Asked, At, Body, ClientHistory, Entry, Event, History, Joined, Position, Room, State,
};

/// The newest messages that come where a resume is not possible.
const NEWEST: u64 = 50;

/// A client as a member of one room, from one `joined` on.
struct Seat {
    joined: Position,
    /// The last message that came on the reliable lane, or was in `joined`.
    reliable: u64,
    /// Each key as it was told last: its value and version.
    values: BTreeMap<String, (Option<String>, u64)>,
    /// The versions that came live.
    live: HashMap<String, u64>,
}

/// Walks through what one client was told.
struct Walk<'a> {
    number: usize,
    client: &'a ClientHistory,
    logs: &'a Logs,
    seats: BTreeMap<Room, Seat>,
    /// The connections so far, and in which of them each write was first sent.
    connections: usize,
    sent: HashMap<usize, usize>,
    found: &'a mut Vec<Violation>,
}

pub fn check(history: &History, logs: &Logs, found: &mut Vec<Violation>) {
    for (number, client) in history.clients.iter().enumerate() {
        let seats = BTreeMap::new();
        let sent = HashMap::new();
        let mut walk = Walk { number, client, logs, seats, connections: 0, sent, found };
        for (at, event) in &client.events {
            walk.step(*at, event);
        }
        walk.end(history);
    }
}

impl Walk<'_> {
    fn report(&mut self, law: Law, room: Option<Room>, at: Option<At>, text: String) {
        self.found.push(Violation { law, room, client: Some(self.number), at, text });
    }

    /// A message that this client need not be shown: its own with `echo: false`.
    fn unechoed(&self, entry: &Entry) -> Option<usize> {
        let write = entry.write().filter(|write| write.client == self.number)?;
        let draft = self.client.writes.get(write.number)?;
        (!draft.echo).then_some(write.number)
    }

    /// The first place after `after` and before `before` that it should have been shown.
    fn hole(&self, log: &Log, after: u64, before: u64, sets: bool) -> Option<u64> {
        let between = log.entries.range(after + 1..before.max(after + 1));
        let due = |entry: &Entry| (sets || !entry.is_set()) && self.unechoed(entry).is_none();
        between.filter(|(_, entry)| due(entry)).map(|(seq, _)| *seq).next()
    }

    fn step(&mut self, at: At, event: &Event) {
        match event {
            Event::Connected { .. } => {
                self.connections += 1;
                self.seats.clear();
            }
            Event::Disconnected { .. } => self.seats.clear(),
            Event::Joined { room, asked, joined } => self.join(at, *room, asked.as_ref(), joined),
            Event::Left { room } => {
                self.seats.remove(room);
            }
            Event::Live { room, seq, entry } => self.live(at, *room, *seq, entry),
            Event::Sent { write, .. } => {
                self.sent.entry(*write).or_insert(self.connections);
            }
            Event::Strange { room, what } => {
                self.report(Law::Strange, *room, Some(at), what.clone());
            }
            _ => {}
        }
    }

    fn join(&mut self, at: At, room: Room, asked: Option<&Asked>, joined: &Joined) {
        let mut flaws = Vec::new();
        match asked {
            None => {
                let before = self.seats.get(&room).map(|seat| &seat.joined.epoch);
                if joined.recovered || before == Some(&joined.end.epoch) {
                    let text = "an unasked `joined`, though the epoch is the same".to_owned();
                    flaws.push((Law::Recovered, text));
                }
            }
            Some(Asked { since: Some(since), .. }) => {
                let same = since.epoch == joined.end.epoch;
                if joined.recovered != same {
                    let text = format!("`recovered` is {} since {since}", joined.recovered);
                    flaws.push((Law::Recovered, text));
                }
                if same && joined.end.seq < since.seq {
                    let text = format!("`joined` at {}, it has seen {since}", joined.end);
                    flaws.push((Law::Recovered, text));
                }
            }
            Some(_) if joined.recovered => {
                flaws.push((Law::Recovered, "`recovered` without `since`".to_owned()));
            }
            Some(_) => {}
        }
        if !joined.oneself {
            flaws.push((Law::Presence, "the members leave oneself out".to_owned()));
        }
        if let Some(log) = self.logs.get(room, &joined.end.epoch) {
            flaws
                .extend(self.messages_flaw(log, asked, joined).map(|it| (Law::JoinedMessages, it)));
            flaws.extend(state::flaw_of_joined(log, joined).map(|it| (Law::State, it)));
        }
        for (law, text) in flaws {
            self.report(law, Some(room), Some(at), text);
        }
        let told = |(key, (value, version)): (&String, &(String, u64))| {
            (key.clone(), (Some(value.clone()), *version))
        };
        let values = joined.state.iter().map(told).collect();
        let reliable = joined.end.seq;
        let seat = Seat { joined: joined.end.clone(), reliable, values, live: HashMap::new() };
        self.seats.insert(room, seat);
    }

    /// What is wrong with the messages of a `joined`.
    fn messages_flaw(&self, log: &Log, asked: Option<&Asked>, joined: &Joined) -> Option<String> {
        let end = joined.end.seq;
        let history = asked.and_then(|asked| asked.history);
        let resumed = asked.and_then(|asked| asked.since.as_ref());
        let after = match resumed {
            Some(since) if joined.recovered => since.seq,
            Some(_) => end.saturating_sub(history.unwrap_or(NEWEST)),
            // It is told the newest page, or asks for it with `history`.
            None if asked.is_none() => {
                let first = joined.messages.first().map_or(end + 1, |(seq, _)| *seq);
                first.saturating_sub(1)
            }
            None => end.saturating_sub(history.unwrap_or(0)),
        };
        // One's own that are left out make room for older ones.
        let first = joined.messages.first().map_or(end + 1, |(seq, _)| *seq);
        let pages = !joined.recovered && history.or(resumed.map(|_| NEWEST)).is_some();
        let mut last = if pages { after.min(first.saturating_sub(1)) } else { after };
        for (seq, _) in &joined.messages {
            if *seq <= last || *seq > end {
                return Some(format!("{seq} comes after {last}, asked for {after} to {end}"));
            }
            if let Some(hole) = self.hole(log, last, *seq, true) {
                return Some(format!("{hole} is left out, {seq} follows"));
            }
            last = *seq;
        }
        let hole = self.hole(log, last, end + 1, true)?;
        Some(format!("{hole} is left out at the end, `joined` is at {end}"))
    }

    fn live(&mut self, at: At, room: Room, seq: u64, entry: &Entry) {
        let Some(seat) = self.seats.get(&room) else {
            let text = format!("{seq} `{entry}` came without a `joined` before it");
            return self.report(Law::NotMember, Some(room), Some(at), text);
        };
        let (joined, reliable) = (seat.joined.clone(), seat.reliable);
        let mut flaws = Vec::new();
        if let Some(own) = self.unechoed(entry)
            && self.sent.get(&own) == Some(&self.connections)
        {
            flaws.push((Law::Echo, format!("{seq} `{entry}` came with `echo: false`")));
        }
        if let Some(log) = self.logs.get(room, &joined.epoch)
            && let Some(hole) = self.hole(log, reliable, seq, false)
        {
            let late = &log.entries[&hole];
            flaws.push((Law::Hole, format!("{hole} `{late}` is left out, {seq} `{entry}` came")));
        }
        match &entry.body {
            Body::Set { key, .. } => {
                let before = seat.live.get(key).copied().unwrap_or(0).max(joined.seq);
                if seq <= before {
                    flaws.push((Law::Repeat, format!("{seq} `{entry}` came after {before}")));
                }
            }
            Body::Chat(_) | Body::Event(_) if seq <= reliable => {
                flaws.push((Law::Repeat, format!("{seq} `{entry}` came after {reliable}")));
            }
            Body::Chat(_) | Body::Event(_) => {}
        }
        if let Some(seat) = self.seats.get_mut(&room) {
            match &entry.body {
                Body::Set { key, value } => {
                    seat.live.insert(key.clone(), seq);
                    let known = seat.values.entry(key.clone()).or_default();
                    if known.1 <= seq {
                        *known = (value.clone(), seq);
                    }
                }
                Body::Chat(_) | Body::Event(_) => seat.reliable = seat.reliable.max(seq),
            }
        }
        for (law, text) in flaws {
            self.report(law, Some(room), Some(at), text);
        }
    }

    /// Who is a member to the end was told all up to the end.
    fn end(&mut self, history: &History) {
        let open: Vec<_> = std::mem::take(&mut self.seats).into_iter().collect();
        for (room, seat) in open {
            let Some(view) = history.views.iter().find(|view| view.room == room) else { continue };
            if view.end.epoch != seat.joined.epoch {
                let text = format!("it was not told that the log ended, it is at {}", seat.joined);
                self.report(Law::Epoch, Some(room), None, text);
                continue;
            }
            let Some(log) = self.logs.get(room, &view.end.epoch) else { continue };
            if let Some(hole) = self.hole(log, seat.reliable, view.end.seq + 1, false) {
                let text = format!("{hole} `{}` never came", log.entries[&hole]);
                self.report(Law::Hole, Some(room), None, text);
            }
            let live = |(key, (value, version))| Some((key, (value?, version)));
            let shown: State = seat.values.into_iter().filter_map(live).collect();
            if let Some(text) = state::difference(&shown, &log.state_at(u64::MAX)) {
                self.report(Law::State, Some(room), None, format!("as it was told: {text}"));
            }
        }
    }
}
