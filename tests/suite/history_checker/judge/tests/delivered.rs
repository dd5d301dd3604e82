//! Live delivery that stands still.

use std::{collections::BTreeMap, time::Duration};

use super::{KEY, Law, events, join, joined, lasting, laws, outage, set, since};
use crate::history_checker::{
    judge::judge,
    record::{Event, History, Joined, Outage},
};

/// Client 0, who is on node 0, gets the messages of 2 and 4 only after some seconds.
fn late(seconds: u64) -> History {
    let mut history = lasting();
    for event in [8, 10] {
        events(&mut history, 0)[event].0 = Duration::from_secs(seconds);
    }
    history
}

/// Client 0 does not get the last message, and then this happens.
fn without_last(second: u64, event: Event) -> History {
    let mut history = lasting();
    events(&mut history, 0).pop();
    events(&mut history, 0).push((Duration::from_secs(second), event));
    history
}

#[test]
fn what_comes_in_time_is_right() {
    assert_eq!(laws(&lasting()), []);
    assert_eq!(laws(&late(4)), []);
}

#[test]
fn an_acknowledged_message_that_comes_late_is_found() {
    assert_eq!(laws(&late(6)), [Law::Stalled]);
}

#[test]
fn an_acknowledged_message_that_never_comes_is_found() {
    let mut history = lasting();
    let set = events(&mut history, 0).pop();
    assert!(matches!(set, Some((_, Event::Live { seq: 4, .. }))));
    assert_eq!(laws(&history), [Law::State, Law::Stalled]);
    events(&mut history, 0).remove(8);
    assert_eq!(laws(&history), [Law::Hole, Law::State, Law::Stalled]);
}

#[test]
fn a_resume_does_not_take_the_place_of_live_delivery() {
    let state = BTreeMap::from([(KEY.to_owned(), ("c1/0".to_owned(), 4))]);
    let resumed = Joined { state, ..joined(4, true, &[(4, set(1, 0))]) };
    let again = join(since(3), resumed);
    assert_eq!(laws(&without_last(2, again.clone())), []);
    assert_eq!(laws(&without_last(7, again)), [Law::Stalled]);
}

#[test]
fn a_connection_that_ended_before_is_not_judged() {
    let cut = Event::Disconnected { how: "cut".to_owned() };
    assert_eq!(laws(&without_last(3, cut.clone())), []);
    assert_eq!(laws(&without_last(8, cut)), [Law::Stalled]);
}

#[test]
fn a_server_that_was_away_has_that_much_longer() {
    // Its own node, or Redis, which takes a second more to connect to again.
    for (node, longest) in [(Some(0), 7), (None, 8)] {
        for (second, expected) in [(longest, &[] as &[Law]), (longest + 1, &[Law::Stalled])] {
            let mut history = late(second);
            history.outages.push(outage(node, 1, 3));
            assert_eq!(laws(&history), expected, "at second {second}");
        }
    }
    let mut history = late(7);
    history.outages.push(outage(Some(1), 1, 3));
    assert_eq!(laws(&history), [Law::Stalled], "another node was away");
    // Two at the same time count once, and what comes later does not count.
    let mut history = late(9);
    history.outages = vec![outage(Some(0), 1, 3), outage(None, 1, 3), outage(None, 20, 30)];
    assert_eq!(laws(&history), [Law::Stalled]);
}

#[test]
fn what_a_fault_may_have_lost_need_not_come() {
    let mut history = lasting();
    events(&mut history, 0).pop();
    let found = |history: &History| judge(history, false).iter().any(|it| it.law == Law::Stalled);
    assert!(found(&history));
    history.outages.push(Outage { loses: true, ..outage(None, 1, 2) });
    assert!(!found(&history));
}
