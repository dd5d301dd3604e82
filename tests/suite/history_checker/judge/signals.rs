//! Signals and typing: values may be left out, but never the last one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Clock, Law, Violation,
    delivery::{Stay, stays},
};
use crate::history_checker::record::{At, ClientHistory, Event, History, Room, Signal, WriteId};

/// A signal as its sender knows it.
struct Sent {
    id: WriteId,
    room: Room,
    signal: Signal,
    at: At,
    acked: Option<At>,
    /// Which connection it was sent on.
    connection: usize,
    /// When the next of its kind was sent to the room.
    followed: Option<At>,
    /// Whether an older one, of another connection, may be applied later.
    may_be_overtaken: bool,
}

/// What a client heard of one other client's signals, and of one user's typing.
#[derive(Default)]
struct Heard<'a> {
    signals: BTreeMap<(Room, usize), Vec<(At, usize)>>,
    typing: BTreeMap<(Room, &'a str), Vec<(At, bool)>>,
}

pub fn check(history: &History, clock: &Clock<'_>, found: &mut Vec<Violation>) {
    let sent: Vec<Vec<Sent>> =
        history.clients.iter().enumerate().map(|(number, it)| sent_by(number, it)).collect();
    for (number, client) in history.clients.iter().enumerate() {
        let mut report = |law, room, at, text| {
            let client = Some(number);
            found.push(Violation { law, room: Some(room), client, at: Some(at), text });
        };
        let heard = heard_by(history, client, &sent, &mut report);
        let stays = stays(client, history.ends);
        let others = history.clients.iter().zip(&sent).filter(|(it, _)| it.user != client.user);
        let mut reported = BTreeSet::new();
        for (other, sent) in others {
            for sent in sent {
                for stay in stays.iter().filter(|stay| stay.room == sent.room) {
                    let late = late(sent, &other.user, stay, &heard, clock);
                    if let Some((deadline, text)) = late.filter(|_| reported.insert(sent.room)) {
                        report(Law::LastValue, sent.room, deadline, text);
                    }
                }
            }
        }
    }
}

fn sent_by(number: usize, client: &ClientHistory) -> Vec<Sent> {
    let mut all: Vec<Sent> = Vec::new();
    let mut connection = 0;
    for (at, event) in &client.events {
        match event {
            Event::Connected { .. } => connection += 1,
            Event::SignalSent { signal } => {
                let (room, kind) = client.signals[*signal];
                let same = |it: &&mut Sent| {
                    it.room == room && (it.signal == Signal::Event) == (kind == Signal::Event)
                };
                let mut may_be_overtaken = false;
                for before in all.iter_mut().filter(same) {
                    before.followed.get_or_insert(*at);
                    may_be_overtaken |= before.acked.is_none() && before.connection != connection;
                }
                all.push(Sent {
                    id: WriteId { client: number, number: *signal },
                    room,
                    signal: kind,
                    at: *at,
                    acked: None,
                    connection,
                    followed: None,
                    may_be_overtaken,
                });
            }
            Event::SignalAcked { signal } => {
                if let Some(sent) = all.get_mut(*signal) {
                    sent.acked = Some(*at);
                }
            }
            _ => {}
        }
    }
    all
}

fn heard_by<'a>(
    history: &History,
    client: &'a ClientHistory,
    sent: &[Vec<Sent>],
    report: &mut impl FnMut(Law, Room, At, String),
) -> Heard<'a> {
    let mut heard = Heard::default();
    let mut member = BTreeSet::new();
    for (at, event) in &client.events {
        match event {
            Event::Connected { .. } | Event::Disconnected { .. } => member.clear(),
            Event::Joined { room, .. } => drop(member.insert(*room)),
            Event::Left { room } => drop(member.remove(room)),
            Event::Signal { room, user, signal } => {
                let known = sent.get(signal.client).and_then(|of| of.get(signal.number));
                let right = known.is_some_and(|it| it.room == *room && it.at <= *at)
                    && history.clients[signal.client].user == *user;
                if !right {
                    report(Law::Invented, *room, *at, format!("signal {signal} of {user}"));
                }
                if *user == client.user {
                    report(Law::Echo, *room, *at, format!("signal {signal} came to its user"));
                }
                if !member.contains(room) {
                    report(Law::NotMember, *room, *at, format!("signal {signal} of {user}"));
                }
                heard.signals.entry((*room, signal.client)).or_default().push((*at, signal.number));
            }
            Event::Typing { room, user, active } => {
                if !member.contains(room) {
                    report(Law::NotMember, *room, *at, format!("typing of {user}"));
                }
                heard.typing.entry((*room, user.as_str())).or_default().push((*at, *active));
            }
            _ => {}
        }
    }
    heard
}

/// By when the value had to be there, and what was there instead.
fn late(
    sent: &Sent,
    user: &str,
    stay: &Stay,
    heard: &Heard<'_>,
    clock: &Clock<'_>,
) -> Option<(At, String)> {
    let acked = sent.acked?;
    let deadline = clock.deadline(stay.node, acked);
    let judged = stay.from < sent.at
        && deadline <= stay.until
        && !clock.may_be_lost_on_the_way(sent.at, deadline);
    if !judged {
        return None;
    }
    let in_stay = |at: At| at >= stay.from && at <= deadline;
    let (id, at) = (sent.id, sent.at.as_secs_f64());
    match sent.signal {
        Signal::Event => {
            let came = heard.signals.get(&(sent.room, id.client));
            let mut came = came.into_iter().flatten().filter(|(at, _)| in_stay(*at));
            let fine = match sent.may_be_overtaken {
                true => came.clone().any(|(_, number)| *number >= id.number),
                false => came.clone().next_back().is_some_and(|(_, it)| *it >= id.number),
            };
            let last = came.next_back().map(|(_, number)| *number);
            (!fine).then(|| (deadline, format!("signal {id} of {at:.3}, the last is {last:?}")))
        }
        Signal::Typing(active) => {
            // Two values look alike: only one that stood long enough can be judged.
            if sent.may_be_overtaken || sent.followed.is_some_and(|next| next <= deadline) {
                return None;
            }
            let came = heard.typing.get(&(sent.room, user));
            let mut came = came.into_iter().flatten().filter(|(at, _)| in_stay(*at));
            let last = came.next_back().map(|(_, active)| *active);
            (last != Some(active)).then(|| {
                (deadline, format!("typing {id} of {at:.3} is {active}, the last is {last:?}"))
            })
        }
    }
}
