//! The last value of signals and of typing.

use super::{Law, add, events, lasting, laws, outage};
use crate::history_checker::record::{Event, History, Signal, WriteId};

fn signal(number: usize) -> Event {
    let user = "u0".to_owned();
    Event::Signal { room: 0, user, signal: WriteId { client: 0, number } }
}

fn typing(active: bool) -> Event {
    Event::Typing { room: 0, user: "u0".to_owned(), active }
}

/// Client 0 says three signals in a row and that it types; client 1 hears some of
/// them.
fn heard(events: &[Event]) -> History {
    let mut history = lasting();
    history.clients[0].signals = vec![
        (0, Signal::Event),
        (0, Signal::Event),
        (0, Signal::Event),
        (0, Signal::Typing(false)),
        (0, Signal::Typing(true)),
    ];
    for signal in 0..5 {
        add(&mut history, 0, 100, Event::SignalSent { signal });
        add(&mut history, 0, 110, Event::SignalAcked { signal });
    }
    for event in events {
        add(&mut history, 1, 120, event.clone());
    }
    history
}

#[test]
fn values_may_be_left_out_but_the_last() {
    let right: [&[Event]; 3] = [
        &[signal(2), typing(true)],
        &[signal(0), signal(2), typing(true)],
        &[signal(0), typing(false), typing(true), signal(1), signal(2)],
    ];
    for events in right {
        assert_eq!(laws(&heard(events)), []);
    }
    let wrong: [&[Event]; 5] = [
        &[typing(true)],
        &[signal(2)],
        &[signal(1), typing(true)],
        &[signal(2), signal(1), typing(true)],
        &[signal(2), typing(true), typing(false)],
    ];
    for events in wrong {
        assert_eq!(laws(&heard(events)), [Law::LastValue], "{events:?}");
    }
}

#[test]
fn a_value_that_nobody_acknowledged_may_be_lost() {
    let mut history = heard(&[signal(1), typing(true)]);
    let last = |event: &Event| matches!(event, Event::SignalAcked { signal: 2 });
    events(&mut history, 0).retain(|(_, event)| !last(event));
    assert_eq!(laws(&history), []);
}

#[test]
fn who_left_need_not_hear_it() {
    let mut history = heard(&[]);
    add(&mut history, 1, 1000, Event::Disconnected { how: "cut".to_owned() });
    assert_eq!(laws(&history), []);
}

#[test]
fn redis_may_lose_what_is_stored_nowhere() {
    let mut history = heard(&[]);
    history.outages.push(outage(Some(1), 1, 2));
    assert_eq!(laws(&history), [Law::LastValue]);
    history.outages.push(outage(None, 1, 2));
    assert_eq!(laws(&history), []);
}

#[test]
fn what_nobody_said_and_what_comes_to_the_wrong_ones_is_found() {
    let whole = [signal(2), typing(true)];
    let mut history = heard(&whole);
    add(&mut history, 1, 130, signal(7));
    assert_eq!(laws(&history), [Law::Invented]);

    let mut history = heard(&whole);
    add(&mut history, 0, 130, signal(2));
    assert_eq!(laws(&history), [Law::Echo]);

    let mut history = heard(&whole);
    add(&mut history, 1, 9000, Event::Disconnected { how: "cut".to_owned() });
    add(&mut history, 1, 9001, signal(2));
    assert_eq!(laws(&history), [Law::NotMember]);
}
