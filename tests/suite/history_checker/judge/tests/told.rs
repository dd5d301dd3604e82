//! What members were told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{broken, chat, events, join, joined, live, right, set, since};
use crate::history_checker::{
    judge::{Law, judge},
    record::{Event, Joined, Position},
};

#[test]
fn a_member_that_is_not_told_of_a_new_epoch_is_found() {
    let mut history = right();
    for view in &mut history.views {
        view.end = Position { epoch: Arc::from("f"), seq: 0 };
        view.log.clear();
        view.state.clear();
    }
    let laws: Vec<_> = judge(&history, false).iter().map(|it| it.law).collect();
    assert_eq!(laws, [Law::Epoch, Law::Epoch]);

    // Told, all is well: what the first log had is gone with it.
    for client in &mut history.clients {
        let end = Position { epoch: Arc::from("f"), seq: 0 };
        let told = Joined { end, ..joined(0, false, &[]) };
        client.events.push((Duration::from_secs(1), join(None, told)));
    }
    assert!(judge(&history, false).is_empty(), "{:?}", judge(&history, false));
}

#[test]
fn a_live_message_left_out_is_a_hole() {
    assert_eq!(broken(|history| drop(events(history, 0).remove(7))), [Law::Hole]);
}

#[test]
fn the_last_message_never_coming_is_a_hole() {
    let laws = broken(|history| drop(events(history, 0).remove(8)));
    // The set that follows shows the hole, and so does the end.
    assert_eq!(laws, [Law::Hole]);
}

#[test]
fn messages_in_another_order_are_a_hole_and_a_repeat() {
    assert_eq!(broken(|history| events(history, 0).swap(7, 8)), [Law::Hole, Law::Repeat]);
}

#[test]
fn a_message_that_comes_twice_is_a_repeat() {
    let laws =
        broken(|history| events(history, 0).insert(9, (Duration::ZERO, live(2, chat(0, 1)))));
    assert_eq!(laws, [Law::Repeat]);
}

#[test]
fn a_set_that_joined_had_already_is_a_repeat() {
    let laws = broken(|history| events(history, 1).insert(6, (Duration::ZERO, live(3, set(0, 2)))));
    assert_eq!(laws, [Law::Repeat]);
}

#[test]
fn a_set_before_an_older_message_is_a_hole() {
    let laws = broken(|history| {
        let set = events(history, 0).pop().expect("the set of 4");
        events(history, 0).insert(8, set);
    });
    assert_eq!(laws, [Law::Hole]);
}

#[test]
fn a_message_before_joined_is_found() {
    let laws =
        broken(|history| events(history, 1).insert(5, (Duration::ZERO, live(2, chat(0, 1)))));
    assert_eq!(laws, [Law::NotMember]);
}

#[test]
fn ones_own_message_without_echo_is_found() {
    assert_eq!(broken(|history| history.clients[0].writes[0].echo = false), [Law::Echo]);
    // Left out as it should be.
    let laws = broken(|history| {
        history.clients[0].writes[0].echo = false;
        drop(events(history, 0).remove(7));
    });
    assert_eq!(laws, []);
}

#[test]
fn a_resume_within_the_log_that_does_not_recover_is_found() {
    let laws = broken(|history| events(history, 1)[5].1 = join(since(1), joined(3, false, &[])));
    assert!(laws.contains(&Law::Recovered), "{laws:?}");
}

#[test]
fn a_resume_that_leaves_out_or_repeats_is_found() {
    for messages in [
        vec![(3, set(0, 2))],
        vec![(2, chat(0, 1))],
        vec![(1, chat(0, 0)), (2, chat(0, 1)), (3, set(0, 2))],
        vec![(3, set(0, 2)), (2, chat(0, 1))],
    ] {
        let laws = broken(|history| {
            let Event::Joined { joined, .. } = &mut events(history, 1)[5].1 else { panic!() };
            joined.messages = messages;
        });
        assert_eq!(laws, [Law::JoinedMessages]);
    }
}

#[test]
fn a_stale_last_value_is_found() {
    // In what a member was told last.
    let laws = broken(|history| events(history, 0)[10].1 = live(3, set(0, 2)));
    assert_eq!(laws, [Law::State]);
    // In `joined`.
    let laws = broken(|history| {
        let Event::Joined { joined, .. } = &mut events(history, 1)[5].1 else { panic!() };
        joined.state.clear();
    });
    assert_eq!(laws, [Law::State]);
    // On one node.
    assert_eq!(broken(|history| history.views[1].state.clear()), [Law::State]);
}

#[test]
fn ghosts_and_missing_members_are_found() {
    for change in [
        (|members| {
            members.insert("ghost".to_owned(), 1);
        }) as fn(&mut BTreeMap<String, u64>),
        |members| {
            members.remove("u0");
        },
        |members| {
            members.insert("u0".to_owned(), 2);
        },
    ] {
        assert_eq!(broken(|history| change(&mut history.views[0].members)), [Law::Presence]);
        let laws = broken(|history| {
            change(history.clients[1].members.get_mut(&0).expect("a member of the room"));
        });
        assert_eq!(laws, [Law::Presence]);
    }
}
