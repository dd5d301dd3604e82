//! Shared state: it is what the log says, whoever shows it.

use super::{
    Law, Violation,
    logs::{Log, Logs},
};
use crate::history_checker::record::{Body, History, Joined, State};

/// What is wrong with the state that a `joined` carried: each value has to be
/// in the log, none older than the log up to `joined.seq`, and none missing
/// that no later entry deleted.
pub fn flaw_of_joined(log: &Log, joined: &Joined) -> Option<String> {
    for (key, (value, version)) in &joined.state {
        let set = log.entries.get(version).map(|entry| &entry.body);
        match set {
            Some(Body::Set { key: k, value: Some(v) }) if k == key && v == value => {}
            // The log may not be known whole.
            None if log.end.is_none() => {}
            _ => return Some(format!("{key} = {value} is not what {version} has set")),
        }
    }
    for (key, (value, version)) in log.state_at(joined.end.seq) {
        let deleted_later = || log.deleted_after(&key, version);
        match joined.state.get(&key) {
            Some((_, shown)) if *shown < version => {
                return Some(format!("{key} is that of {shown}, older than {version}"));
            }
            None if log.end.is_some() && !deleted_later() => {
                return Some(format!("{key} = {value} of {version} is missing"));
            }
            _ => {}
        }
    }
    None
}

/// How two states differ, in words for a violation.
pub fn difference(shown: &State, right: &State) -> Option<String> {
    let mut keys = shown.keys().chain(right.keys());
    keys.find(|key| shown.get(*key) != right.get(*key)).map(|key| {
        let one = |state: &State| match state.get(key) {
            Some((value, version)) => format!("{value} of {version}"),
            None => "absent".to_owned(),
        };
        format!("{key} is {}, by the log {}", one(shown), one(right))
    })
}

/// The state that each node shows at the end is the fold of the log.
pub fn check_views(history: &History, logs: &Logs, found: &mut Vec<Violation>) {
    for view in &history.views {
        let Some(log) = logs.get(view.room, &view.end.epoch) else { continue };
        if let Some(text) = difference(&view.state, &log.state_at(u64::MAX)) {
            found.push(Violation {
                law: Law::State,
                room: Some(view.room),
                client: None,
                at: None,
                text: format!("on node {}: {text}", view.node),
            });
        }
    }
}
