//! Messages to users: each comes to every session of its recipient, once and in
//! order, at once or after the next `welcome`, until it is seen; and a copy of each
//! comes to the sender's sessions.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{Clock, Law, Violation};
use crate::history_checker::record::{At, Event, History, InboxPosition, WriteId};

/// One life of an inbox: which user's, and its epoch where that is known. Where no
/// fault may lose an inbox, it has one life, and the epoch is left out.
type Inbox<'a> = (&'a str, Option<Arc<str>>);

/// A direct message as its sender knows it.
struct Sent {
    first: At,
    times: usize,
    acked: Option<Acked>,
}

#[derive(Clone)]
struct Acked {
    at: At,
    place: InboxPosition,
    duplicate: bool,
}

/// One connection, and the direct messages that came over it.
struct Connection<'a> {
    client: usize,
    user: &'a str,
    node: usize,
    from: At,
    until: At,
    seen: InboxPosition,
    inbox: Vec<(At, WriteId, InboxPosition)>,
    copies: Vec<(At, WriteId)>,
}

struct Directs<'a> {
    history: &'a History,
    kept: bool,
    clock: &'a Clock<'a>,
    sent: HashMap<WriteId, Sent>,
    /// What stands at each place of each inbox, as far as anybody was told.
    places: HashMap<Inbox<'a>, BTreeMap<u64, WriteId>>,
    /// The place of each message in each life of its inbox.
    stands_at: HashMap<(WriteId, Option<Arc<str>>), u64>,
    /// How far each user has seen the inbox, with the moments.
    seen: HashMap<&'a str, Vec<(At, InboxPosition)>>,
    connections: Vec<Connection<'a>>,
    found: &'a mut Vec<Violation>,
}

/// `kept` is whether no fault may lose an inbox.
pub fn check<'a>(
    history: &'a History,
    kept: bool,
    clock: &'a Clock<'a>,
    found: &'a mut Vec<Violation>,
) {
    let mut directs = Directs {
        history,
        kept,
        clock,
        sent: HashMap::new(),
        places: HashMap::new(),
        stands_at: HashMap::new(),
        seen: HashMap::new(),
        connections: Vec::new(),
        found,
    };
    directs.gather();
    let connections = std::mem::take(&mut directs.connections);
    for connection in &connections {
        directs.check_connection(connection);
    }
    directs.check_delivery(&connections);
}

impl<'a> Directs<'a> {
    fn report(&mut self, law: Law, client: usize, at: Option<At>, text: String) {
        self.found.push(Violation { law, room: None, client: Some(client), at, text });
    }

    /// Which life of an inbox a place belongs to; none where that cannot be told.
    fn inbox(&self, user: &'a str, place: &InboxPosition) -> Option<Inbox<'a>> {
        match (self.kept, &place.epoch) {
            (true, _) => Some((user, None)),
            (false, Some(epoch)) => Some((user, Some(Arc::clone(epoch)))),
            (false, None) => None,
        }
    }

    fn recipient(&self, direct: WriteId) -> Option<&'a str> {
        let to = self.history.clients.get(direct.client)?.directs.get(direct.number)?;
        Some(to.as_str())
    }

    fn gather(&mut self) {
        let history = self.history;
        for (number, client) in history.clients.iter().enumerate() {
            let user = client.user.as_str();
            let first = self.connections.len();
            for (at, event) in &client.events {
                // The one that is open; the others have ended.
                let open = |connections: &mut Vec<Connection<'a>>| {
                    let last = connections.len();
                    (last > first).then(|| last - 1)
                };
                match event {
                    Event::Connected { node, seen } => {
                        if let Some(last) = open(&mut self.connections) {
                            let before = &mut self.connections[last];
                            before.until = before.until.min(*at);
                        }
                        self.connections.push(Connection {
                            client: number,
                            user,
                            node: *node,
                            from: *at,
                            until: history.ends,
                            seen: seen.clone(),
                            inbox: Vec::new(),
                            copies: Vec::new(),
                        });
                    }
                    Event::Disconnected { .. } => {
                        if let Some(last) = open(&mut self.connections) {
                            let before = &mut self.connections[last];
                            before.until = before.until.min(*at);
                        }
                    }
                    Event::DirectSent { direct } => {
                        let id = WriteId { client: number, number: *direct };
                        let sent = Sent { first: *at, times: 0, acked: None };
                        self.sent.entry(id).or_insert(sent).times += 1;
                    }
                    Event::DirectAcked { direct, at: place, duplicate } => {
                        let id = WriteId { client: number, number: *direct };
                        self.note_place(number, *at, id, place);
                        if let Some(sent) = self.sent.get_mut(&id) {
                            let place = place.clone();
                            sent.acked = Some(Acked { at: *at, place, duplicate: *duplicate });
                        }
                    }
                    Event::Direct { direct, at: place, .. } => {
                        if let Some(place) = place {
                            self.note_place(number, *at, *direct, place);
                        }
                        let Some(last) = open(&mut self.connections) else { continue };
                        let connection = &mut self.connections[last];
                        match place {
                            Some(place) => connection.inbox.push((*at, *direct, place.clone())),
                            None => connection.copies.push((*at, *direct)),
                        }
                    }
                    Event::Seen { at: place } => {
                        self.seen.entry(user).or_default().push((*at, place.clone()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Each place has one message, and each message one place.
    fn note_place(&mut self, client: usize, at: At, direct: WriteId, place: &InboxPosition) {
        let Some(to) = self.recipient(direct) else { return };
        let Some(inbox) = self.inbox(to, place) else { return };
        let places = self.places.entry(inbox.clone()).or_default();
        let known = *places.entry(place.seq).or_insert(direct);
        if known != direct {
            let text = format!("{place} in the inbox of {to} is {known} and {direct}");
            return self.report(Law::Direct, client, Some(at), text);
        }
        let first = *self.stands_at.entry((direct, inbox.1)).or_insert(place.seq);
        if first != place.seq {
            let text = format!("{direct} stands at {first} and at {place} in the inbox of {to}");
            self.report(Law::Direct, client, Some(at), text);
        }
    }

    /// Whether a session of the user has said that it saw this.
    fn is_seen(&self, user: &str, place: &InboxPosition, by: At) -> bool {
        let same = |other: &InboxPosition| self.kept || other.epoch == place.epoch;
        let seen = self.seen.get(user).into_iter().flatten();
        seen.into_iter().any(|(at, to)| *at <= by && to.seq >= place.seq && same(to))
    }

    /// What came over one connection: for its user, sent by whom it says, rising,
    /// and with nothing left out that is known to stand there.
    fn check_connection(&mut self, connection: &Connection<'a>) {
        let client = connection.client;
        let events = &self.history.clients[client].events;
        for (at, event) in events {
            let Event::Direct { from, to, direct, at: place } = event else { continue };
            let in_time = *at >= connection.from && *at <= connection.until;
            if !in_time {
                continue;
            }
            let author = self.history.clients.get(direct.client).map(|it| it.user.as_str());
            let right = self.sent.contains_key(direct)
                && author == Some(from)
                && self.recipient(*direct) == Some(to);
            let reader = if place.is_some() { to } else { from };
            if !right || reader != connection.user {
                let text = format!("{direct} from {from} to {to} came to {}", connection.user);
                self.report(Law::Direct, client, Some(*at), text);
            }
        }
        let mut copies = HashSet::new();
        for (at, direct) in &connection.copies {
            if !copies.insert(*direct) {
                let text = format!("a second copy of {direct} came");
                self.report(Law::Direct, client, Some(*at), text);
            }
        }
        let mut last = connection.seen.clone();
        let mut came = HashSet::new();
        for (at, direct, place) in &connection.inbox {
            if !came.insert(*direct) {
                let text = format!("{direct} came a second time, at {place}");
                self.report(Law::Direct, client, Some(*at), text);
                continue;
            }
            let inbox = self.inbox(connection.user, place);
            if inbox.is_none() || inbox != self.inbox(connection.user, &last) {
                last = place.clone();
                continue;
            }
            if place.seq <= last.seq {
                let text = format!("{direct} at {place} came after {last}");
                self.report(Law::Direct, client, Some(*at), text);
                continue;
            }
            let places = inbox.and_then(|inbox| self.places.get(&inbox));
            let between = places.map(|places| places.range(last.seq + 1..place.seq));
            let hole = between.into_iter().flatten().find(|(seq, _)| {
                let missing = InboxPosition { epoch: place.epoch.clone(), seq: **seq };
                !self.is_seen(connection.user, &missing, *at)
            });
            if let Some((seq, missing)) = hole {
                let text = format!("{missing} at {seq} is left out, {direct} at {place} came");
                self.report(Law::Direct, client, Some(*at), text);
            }
            last = place.clone();
        }
    }

    /// What was acknowledged comes in time.
    fn check_delivery(&mut self, connections: &[Connection<'a>]) {
        let mut late = Vec::new();
        for (direct, sent) in &self.sent {
            let Some(acked) = &sent.acked else { continue };
            let Some(to) = self.recipient(*direct) else { continue };
            let from = self.history.clients[direct.client].user.as_str();
            for connection in connections {
                let flaw = if connection.user == to {
                    self.late_to_recipient(*direct, sent, acked, connection)
                } else if connection.user == from {
                    self.late_copy(*direct, sent, acked, connection)
                } else {
                    None
                };
                late.extend(flaw.map(|(deadline, text)| (connection.client, deadline, text)));
            }
        }
        late.sort();
        let mut reported = HashSet::new();
        for (client, deadline, text) in late {
            if reported.insert(client) {
                self.report(Law::Stalled, client, Some(deadline), text);
            }
        }
    }

    fn late_to_recipient(
        &self,
        direct: WriteId,
        sent: &Sent,
        acked: &Acked,
        connection: &Connection<'a>,
    ) -> Option<(At, String)> {
        let Acked { at, place, duplicate } = acked;
        let same_life =
            self.kept || (place.epoch.is_some() && place.epoch == connection.seen.epoch);
        let due = match same_life {
            true => place.seq > connection.seen.seq,
            // A retry may have been acknowledged for what came long before.
            false => *at >= connection.from && !duplicate,
        };
        let deadline = self.clock.deadline(connection.node, connection.from.max(*at));
        if !due || deadline > connection.until || self.clock.may_be_lost(sent.first, deadline) {
            return None;
        }
        let came = connection.inbox.iter().find(|(_, it, _)| *it == direct).map(|(at, _, _)| *at);
        if came.is_some_and(|came| came <= deadline)
            || self.is_seen(connection.user, place, deadline)
        {
            return None;
        }
        Some((deadline, text_of("direct", direct, *at, place, came)))
    }

    fn late_copy(
        &self,
        direct: WriteId,
        sent: &Sent,
        acked: &Acked,
        connection: &Connection<'a>,
    ) -> Option<(At, String)> {
        // A copy is made once, when the message is stored: with which try is not known.
        let once = sent.times == 1 && !acked.duplicate;
        let deadline = self.clock.deadline(connection.node, acked.at);
        let judged = once
            && connection.from < sent.first
            && deadline <= connection.until
            && !self.clock.may_be_lost_on_the_way(sent.first, deadline);
        let came = connection.copies.iter().find(|(_, it)| *it == direct).map(|(at, _)| *at);
        let late = judged && came.is_none_or(|came| came > deadline);
        late.then(|| (deadline, text_of("copy of direct", direct, acked.at, &acked.place, came)))
    }
}

fn text_of(what: &str, direct: WriteId, at: At, place: &InboxPosition, came: Option<At>) -> String {
    let came = match came {
        Some(came) => format!("came at {:.3}", came.as_secs_f64()),
        None => "never came".to_owned(),
    };
    format!("{what} {direct}, acknowledged at {place} at {:.3}, {came}", at.as_secs_f64())
}
