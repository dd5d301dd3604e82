//! What was written, and the logs it made.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{KEY, acked, at, both_logs, broken, chat, compare, draft, events, live, sent, set};
use crate::history_checker::{
    judge::Law,
    record::{Event, Position, What},
};

#[test]
fn an_acknowledged_write_that_is_not_in_the_log_is_lost() {
    let laws = broken(|history| {
        history.clients[1].writes.push(draft(What::Chat));
        let late = Duration::from_secs(1);
        events(history, 1).extend([(late, sent(1)), (late, acked(1, 5))]);
    });
    assert_eq!(laws, [Law::Lost]);
}

#[test]
fn what_a_member_was_shown_and_the_log_does_not_have_is_lost() {
    let laws = broken(|history| {
        history.clients[1].writes.push(draft(What::Chat));
        let late = Duration::from_secs(1);
        events(history, 1).extend([(late, sent(1)), (late, live(5, chat(1, 1)))]);
    });
    assert_eq!(laws, [Law::Lost, Law::Unanswered]);
}

#[test]
fn a_write_that_stands_twice_is_doubled() {
    let laws = broken(|history| {
        both_logs(history, |view| {
            view.log.push((5, chat(0, 1)));
            view.end.seq = 5;
        });
        events(history, 0).push((Duration::from_secs(1), live(5, chat(0, 1))));
        events(history, 1).push((Duration::from_secs(1), live(5, chat(0, 1))));
    });
    assert_eq!(laws, [Law::Doubled]);
}

#[test]
fn an_ack_with_the_place_of_another_write_is_wrong() {
    assert!(broken(|history| events(history, 0)[5].1 = acked(0, 2)).contains(&Law::WrongPlace));
}

#[test]
fn two_acks_of_one_write_name_one_place() {
    let laws = broken(|history| {
        let again = Event::Acked { room: 0, write: 0, at: at(2), duplicate: true };
        events(history, 0).push((Duration::from_secs(1), again));
    });
    assert_eq!(laws, [Law::WrongPlace]);
}

#[test]
fn an_entry_that_nobody_wrote_is_invented() {
    let laws = broken(|history| {
        events(history, 0).retain(|(_, it)| !matches!(it, Event::Sent { write: 0, .. }))
    });
    assert_eq!(laws, [Law::Invented]);
}

#[test]
fn a_write_without_an_answer_is_found() {
    let laws = broken(|history| events(history, 1).truncate(8));
    assert_eq!(laws, [Law::Unanswered]);
}

#[test]
fn acks_of_one_connection_rise() {
    assert_eq!(broken(|history| events(history, 0).swap(5, 6)), [Law::Overtaken]);
}

#[test]
fn two_nodes_with_two_orders_are_found() {
    let laws = broken(|history| {
        let log = &mut history.views[1].log;
        (log[0].1, log[1].1) = (log[1].1.clone(), log[0].1.clone());
    });
    assert_eq!(laws, [Law::TwoOrders]);
}

#[test]
fn a_member_that_was_shown_another_entry_is_found() {
    let laws = broken(|history| {
        let mut other = (*chat(0, 0)).clone();
        other.timestamp += 1;
        events(history, 1)[2].1 = live(1, Arc::new(other));
    });
    assert_eq!(laws, [Law::TwoOrders]);
}

#[test]
fn a_log_with_a_hole_is_broken() {
    let laws = broken(|history| both_logs(history, |view| drop(view.log.remove(0))));
    assert!(laws.contains(&Law::BrokenLog) && laws.contains(&Law::Lost), "{laws:?}");
}

#[test]
fn a_second_epoch_is_found() {
    let other = Position { epoch: Arc::from("f"), seq: 1 };
    let laws = broken(|history| {
        let ack = Event::Acked { room: 0, write: 0, at: other, duplicate: true };
        events(history, 0).push((Duration::from_secs(1), ack));
    });
    assert!(laws.contains(&Law::Epoch), "{laws:?}");
}

#[test]
fn a_compare_and_set_that_succeeded_twice_is_found() {
    let laws = broken(|history| {
        history.clients[0].writes.push(draft(compare(3)));
        both_logs(history, |view| {
            view.log.push((5, set(0, 3)));
            view.end.seq = 5;
            view.state = BTreeMap::from([(KEY.to_owned(), ("c0/3".to_owned(), 5))]);
        });
        let late = Duration::from_secs(1);
        events(history, 0).extend([
            (late, sent(3)),
            (late, acked(3, 5)),
            (late, live(5, set(0, 3))),
        ]);
        events(history, 1).push((late, live(5, set(0, 3))));
    });
    assert_eq!(laws, [Law::CompareAndSet]);
}

#[test]
fn a_conflict_with_the_very_version_is_found() {
    let conflict = |version| {
        broken(|history| {
            history.clients[1].writes.push(draft(compare(2)));
            let current = (Some("c1/0".to_owned()), version);
            let late = Duration::from_secs(1);
            let refusal = Event::Conflict { room: 0, write: 1, current };
            events(history, 1).extend([(late, sent(1)), (late, refusal)]);
        })
    };
    assert_eq!(conflict(2), [Law::CompareAndSet]);
    assert_eq!(conflict(4), []);
}
