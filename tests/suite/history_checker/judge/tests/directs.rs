//! Messages to users.

use std::time::Duration;

use super::{Law, add, connected, events, inbox, lasting, laws, outage};
use crate::history_checker::record::{Event, History, WriteId};

fn id(number: usize) -> WriteId {
    WriteId { client: 0, number }
}

fn direct(number: usize, place: Option<u64>) -> Event {
    let (from, to) = ("u0".to_owned(), "u1".to_owned());
    Event::Direct { from, to, direct: id(number), at: place.map(inbox) }
}

/// Client 0 sends two messages to the user of client 1, who gets both.
fn right() -> History {
    let mut history = lasting();
    history.clients[0].directs = vec!["u1".to_owned(), "u1".to_owned()];
    for number in 0..2 {
        let (at, place) = (100 + 10 * number as u64, number as u64 + 1);
        add(&mut history, 0, at, Event::DirectSent { direct: number });
        let acked = Event::DirectAcked { direct: number, at: inbox(place), duplicate: false };
        add(&mut history, 0, at + 1, acked);
        add(&mut history, 0, at + 2, direct(number, None));
        add(&mut history, 1, at + 2, direct(number, Some(place)));
    }
    history
}

/// The laws that are broken when a message does not come to a client.
fn without(client: usize, number: usize) -> Vec<Law> {
    let mut history = right();
    let is = |event: &Event| matches!(event, Event::Direct { direct, .. } if *direct == id(number));
    events(&mut history, client).retain(|(_, event)| !is(event));
    laws(&history)
}

#[test]
fn right_ones_break_nothing() {
    assert_eq!(laws(&right()), []);
}

#[test]
fn one_that_never_comes_is_found() {
    assert_eq!(without(1, 1), [Law::Stalled]);
    // The next one shows the hole.
    assert_eq!(without(1, 0), [Law::Stalled, Law::Direct]);
    // The copy for the sender.
    assert_eq!(without(0, 0), [Law::Stalled]);
}

#[test]
fn one_that_comes_late_is_found() {
    let mut history = right();
    let last = events(&mut history, 1).last_mut().expect("the second one");
    last.0 = Duration::from_secs(6);
    assert_eq!(laws(&history), [Law::Stalled]);
    history.outages.push(outage(Some(1), 1, 3));
    assert_eq!(laws(&history), [], "its node was away");
}

#[test]
fn one_that_comes_twice_is_found() {
    let mut history = right();
    add(&mut history, 1, 200, direct(1, Some(2)));
    assert_eq!(laws(&history), [Law::Direct]);
    let mut history = right();
    add(&mut history, 0, 200, direct(1, None));
    assert_eq!(laws(&history), [Law::Direct], "a second copy");
}

#[test]
fn another_order_is_found() {
    let mut history = right();
    let last = events(&mut history, 1).len() - 1;
    events(&mut history, 1).swap(last - 1, last);
    assert_eq!(laws(&history), [Law::Direct]);
}

#[test]
fn one_that_nobody_sent_or_that_is_for_another_is_found() {
    let mut history = right();
    add(&mut history, 1, 200, direct(7, Some(3)));
    assert_eq!(laws(&history), [Law::Direct]);
    for name in ["from", "to"] {
        let mut history = right();
        let Some((_, Event::Direct { from, to, .. })) = events(&mut history, 1).last_mut() else {
            panic!("the second message is the last event")
        };
        *(if name == "from" { from } else { to }) = "u7".to_owned();
        assert_eq!(laws(&history), [Law::Direct]);
    }
}

#[test]
fn two_at_one_place_are_found() {
    let mut history = right();
    for (_, event) in events(&mut history, 0) {
        if let Event::DirectAcked { direct: 1, at, .. } = event {
            at.seq = 1;
        }
    }
    assert_eq!(laws(&history), [Law::Direct]);
}

#[test]
fn two_places_of_one_are_found() {
    let mut history = right();
    for (_, event) in events(&mut history, 0) {
        if let Event::DirectAcked { direct: 1, at, .. } = event {
            at.seq = 9;
        }
    }
    assert_eq!(laws(&history), [Law::Direct]);
}

/// Client 1 connects again when both were sent, and gets those of these places.
fn back(seen: u64, places: &[u64]) -> History {
    let mut history = right();
    add(&mut history, 1, 1000, Event::Disconnected { how: "cut".to_owned() });
    let mut event = connected(1);
    if let Event::Connected { seen: at, .. } = &mut event {
        *at = inbox(seen);
    }
    add(&mut history, 1, 1100, event);
    for place in places {
        add(&mut history, 1, 1101, direct(*place as usize - 1, Some(*place)));
    }
    // It does not come back to the room.
    history.clients[1].members.clear();
    history.views.iter_mut().for_each(|view| view.members.retain(|user, _| user != "u1"));
    history.clients[0].members.get_mut(&0).expect("the room").remove("u1");
    history
}

#[test]
fn what_is_not_seen_comes_after_the_next_welcome() {
    assert_eq!(laws(&back(0, &[1, 2])), []);
    assert_eq!(laws(&back(1, &[2])), []);
    assert_eq!(laws(&back(2, &[])), []);
    assert_eq!(laws(&back(0, &[])), [Law::Stalled]);
    assert_eq!(laws(&back(0, &[1])), [Law::Stalled]);
    assert_eq!(laws(&back(0, &[2])), [Law::Stalled, Law::Direct]);
    // What was seen before does not come again.
    assert_eq!(laws(&back(1, &[1, 2])), [Law::Direct]);
}

#[test]
fn what_another_session_has_seen_need_not_come() {
    let mut history = back(0, &[]);
    add(&mut history, 1, 1100, Event::Seen { at: inbox(2) });
    assert_eq!(laws(&history), []);
}

#[test]
fn copies_are_stored_nowhere_and_redis_may_lose_them() {
    let mut history = right();
    let copy = |event: &Event| matches!(event, Event::Direct { at: None, .. });
    events(&mut history, 0).retain(|(_, event)| !copy(event));
    history.outages.push(outage(Some(0), 1, 2));
    assert_eq!(laws(&history), [Law::Stalled]);
    history.outages.push(outage(None, 1, 2));
    assert_eq!(laws(&history), []);
}
