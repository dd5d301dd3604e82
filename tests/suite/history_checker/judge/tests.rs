//! The judge sees each kind of wrong, and nothing in a history that is right.

mod delivered;
mod directs;
mod signals;
mod told;
mod written;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Law, judge};
use crate::history_checker::record::{
    Asked, Body, ClientHistory, Draft, Entry, Event, History, InboxPosition, Joined, Outage,
    Position, State, View, What,
};

const KEY: &str = "k";

fn at(seq: u64) -> Position {
    Position { epoch: Arc::from("e"), seq }
}

fn entry(user: &str, body: Body) -> Arc<Entry> {
    Arc::new(Entry { user: user.to_owned(), body, timestamp: 1 })
}

fn chat(client: usize, number: usize) -> Arc<Entry> {
    entry(&format!("u{client}"), Body::Chat(format!("c{client}/{number}")))
}

fn set(client: usize, number: usize) -> Arc<Entry> {
    let value = Some(format!("c{client}/{number}"));
    entry(&format!("u{client}"), Body::Set { key: KEY.to_owned(), value })
}

fn joined(seq: u64, recovered: bool, messages: &[(u64, Arc<Entry>)]) -> Joined {
    let state = State::new();
    Joined { end: at(seq), recovered, messages: messages.to_vec(), state, oneself: true }
}

fn since(seq: u64) -> Option<Asked> {
    Some(Asked { since: Some(at(seq)), history: None })
}

fn connected(node: usize) -> Event {
    Event::Connected { node, seen: inbox(0) }
}

fn inbox(seq: u64) -> InboxPosition {
    InboxPosition { epoch: None, seq }
}

fn join(asked: Option<Asked>, joined: Joined) -> Event {
    Event::Joined { room: 0, asked, joined }
}

fn live(seq: u64, entry: Arc<Entry>) -> Event {
    Event::Live { room: 0, seq, entry }
}

fn sent(write: usize) -> Event {
    Event::Sent { room: 0, write }
}

fn acked(write: usize, seq: u64) -> Event {
    Event::Acked { room: 0, write, at: at(seq), duplicate: false }
}

fn draft(what: What) -> Draft {
    Draft { room: 0, what, echo: true }
}

fn compare(version: u64) -> What {
    What::Set { key: KEY.to_owned(), delete: false, if_version: Some(version) }
}

/// Client 0 wrote chat, chat, set; client 1 came back in between and wrote a
/// compare-and-set. Both nodes show the same.
fn right() -> History {
    let log = vec![(1, chat(0, 0)), (2, chat(0, 1)), (3, set(0, 2)), (4, set(1, 0))];
    let plain = What::Set { key: KEY.to_owned(), delete: false, if_version: None };
    let clients = vec![
        client(
            0,
            vec![draft(What::Chat), draft(What::Chat), draft(plain)],
            vec![
                connected(0),
                join(Some(Asked::default()), joined(0, false, &[])),
                sent(0),
                sent(1),
                sent(2),
                acked(0, 1),
                acked(1, 2),
                live(1, chat(0, 0)),
                live(2, chat(0, 1)),
                acked(2, 3),
                // The set of 3 was overtaken by that of 4, as it may.
                live(4, set(1, 0)),
            ],
        ),
        client(
            1,
            vec![draft(compare(3))],
            vec![
                connected(0),
                join(Some(Asked::default()), joined(0, false, &[])),
                live(1, chat(0, 0)),
                Event::Disconnected { how: "cut".to_owned() },
                connected(1),
                join(
                    since(1),
                    Joined {
                        state: BTreeMap::from([(KEY.to_owned(), ("c0/2".to_owned(), 3))]),
                        ..joined(3, true, &[(2, chat(0, 1)), (3, set(0, 2))])
                    },
                ),
                sent(0),
                live(4, set(1, 0)),
                acked(0, 4),
            ],
        ),
    ];
    let view = |node| View {
        node,
        room: 0,
        end: at(4),
        log: log.clone(),
        state: BTreeMap::from([(KEY.to_owned(), ("c1/0".to_owned(), 4))]),
        members: both(),
    };
    History { clients, views: vec![view(0), view(1)], ..History::default() }
}

fn both() -> BTreeMap<String, u64> {
    BTreeMap::from([("u0".to_owned(), 1), ("u1".to_owned(), 1)])
}

fn client(number: usize, writes: Vec<Draft>, events: Vec<Event>) -> ClientHistory {
    let timed = events.into_iter().enumerate();
    ClientHistory {
        user: format!("u{number}"),
        writes,
        events: timed.map(|(at, event)| (Duration::from_millis(at as u64), event)).collect(),
        members: BTreeMap::from([(0, both())]),
        ..ClientHistory::default()
    }
}

/// The laws that `change` breaks in the history that is right.
fn broken(change: impl FnOnce(&mut History)) -> Vec<Law> {
    let mut history = right();
    change(&mut history);
    laws(&history)
}

fn laws(history: &History) -> Vec<Law> {
    let mut laws: Vec<Law> = judge(history, true).iter().map(|it| it.law).collect();
    laws.sort();
    laws.dedup();
    laws
}

/// The same history, followed by a minute in which nothing happens.
fn lasting() -> History {
    History { ends: Duration::from_secs(60), ..right() }
}

/// Something that was done to a node, or to Redis, between two seconds.
fn outage(node: Option<usize>, begins: u64, ends: u64) -> Outage {
    Outage {
        what: "stopped".to_owned(),
        node,
        begins: Duration::from_secs(begins),
        ends: Duration::from_secs(ends),
        loses: false,
    }
}

/// Adds an event at a millisecond.
fn add(history: &mut History, client: usize, at: u64, event: Event) {
    events(history, client).push((Duration::from_millis(at), event));
}

/// The event of a client that is replaced, by its place.
fn events(history: &mut History, client: usize) -> &mut Vec<(Duration, Event)> {
    &mut history.clients[client].events
}

fn both_logs(history: &mut History, change: impl Fn(&mut View)) {
    history.views.iter_mut().for_each(change);
}

#[test]
fn a_right_history_breaks_nothing() {
    assert_eq!(judge(&right(), true).iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_the_contract_does_not_have_is_found() {
    let strange = Event::Strange { room: Some(0), what: "an error without a code".to_owned() };
    assert_eq!(broken(|h| events(h, 0).push((Duration::ZERO, strange))), [Law::Strange]);
}
