//! Presence at the end: everybody is shown who is there and nobody else.

use std::collections::BTreeMap;

use super::{Law, Violation};
use crate::history_checker::record::{History, Members, Room};

/// Who is in the rooms, by what the clients themselves know.
pub fn expected(history: &History) -> BTreeMap<Room, Members> {
    let mut rooms: BTreeMap<Room, Members> = BTreeMap::new();
    for client in &history.clients {
        for room in client.members.keys() {
            let members = rooms.entry(*room).or_default();
            *members.entry(client.user.clone()).or_default() += 1;
        }
    }
    rooms
}

/// How a list of members differs from the right one.
pub fn difference(shown: &Members, right: &Members) -> Option<String> {
    let mut differences = Vec::new();
    for (user, sessions) in shown {
        match right.get(user) {
            None => differences.push(format!("{user} is a ghost")),
            Some(real) if real != sessions => {
                differences.push(format!("{user} is shown with {sessions} sessions, has {real}"));
            }
            Some(_) => {}
        }
    }
    let missing = right.keys().filter(|user| !shown.contains_key(*user));
    differences.extend(missing.map(|user| format!("{user} is missing")));
    (!differences.is_empty()).then(|| differences.join(", "))
}

pub fn check(history: &History, found: &mut Vec<Violation>) {
    let expected = expected(history);
    let nobody = Members::new();
    let mut compare = |room, client, place: &str, shown: &Members| {
        if let Some(text) = difference(shown, expected.get(&room).unwrap_or(&nobody)) {
            let text = format!("{place}: {text}");
            found.push(Violation { law: Law::Presence, room: Some(room), client, at: None, text });
        }
    };
    for view in &history.views {
        compare(view.room, None, &format!("node {}", view.node), &view.members);
    }
    for (number, client) in history.clients.iter().enumerate() {
        for (room, members) in &client.members {
            compare(*room, Some(number), "as the client was told", members);
        }
    }
}
