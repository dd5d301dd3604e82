//! What clients wrote: each acknowledged write stands once, at the place that
//! was acknowledged, and nothing else stands there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Law, Violation,
    logs::{Log, Logs},
};
use crate::history_checker::record::{
    At, Body, Draft, Entry, Event, History, Position, Room, What, WriteId,
};

pub fn check(history: &History, logs: &Logs, log_kept: bool, found: &mut Vec<Violation>) {
    let drafts = Drafts(history);
    let sent = check_answers(history, logs, log_kept, &drafts, found);
    for (room, log) in logs.iter() {
        check_log(room, log, &drafts, &sent, found);
    }
}

struct Drafts<'a>(&'a History);

impl<'a> Drafts<'a> {
    fn get(&self, write: WriteId) -> Option<&'a Draft> {
        self.0.clients.get(write.client)?.writes.get(write.number)
    }

    /// Whether `entry` is what `write` meant, in its room and under its user.
    fn meant(&self, write: WriteId, room: Room, entry: &Entry) -> bool {
        let Some(draft) = self.get(write) else { return false };
        let same = match (&draft.what, &entry.body) {
            (What::Chat, Body::Chat(_)) | (What::Event, Body::Event(_)) => true,
            (What::Set { key, delete, .. }, Body::Set { key: k, value }) => {
                key == k && *delete == value.is_none()
            }
            _ => false,
        };
        let text = entry.write().is_none_or(|own| own == write);
        same && text && draft.room == room && self.0.clients[write.client].user == entry.user
    }
}

/// What one client's answers said so far.
#[derive(Default)]
struct Answers {
    acked: HashMap<usize, Vec<Position>>,
    refused: HashMap<usize, At>,
    sent: BTreeMap<usize, usize>,
    /// The last place acknowledged on this connection, by room.
    last: HashMap<Room, Position>,
}

fn check_answers(
    history: &History,
    logs: &Logs,
    log_kept: bool,
    drafts: &Drafts<'_>,
    found: &mut Vec<Violation>,
) -> BTreeSet<WriteId> {
    let mut sent = BTreeSet::new();
    let mut owners: HashMap<(Room, Position), WriteId> = HashMap::new();
    for (number, client) in history.clients.iter().enumerate() {
        let mut answers = Answers::default();
        for (at, event) in &client.events {
            let mut report = |law, room: Room, text| {
                let (room, client, at) = (Some(room), Some(number), Some(*at));
                found.push(Violation { law, room, client, at, text });
            };
            match event {
                Event::Connected { .. } => answers.last.clear(),
                Event::Sent { write, .. } => {
                    sent.insert(WriteId { client: number, number: *write });
                    *answers.sent.entry(*write).or_default() += 1;
                }
                Event::Acked { room, write, at: place, duplicate } => {
                    let id = WriteId { client: number, number: *write };
                    for (law, text) in ack_flaws(logs, log_kept, drafts, id, *room, place) {
                        report(law, *room, text);
                    }
                    let earlier = answers.acked.entry(*write).or_default();
                    if earlier.iter().any(|it| it.epoch == place.epoch && it.seq != place.seq) {
                        report(Law::WrongPlace, *room, format!("{id} at {place}, and {earlier:?}"));
                    }
                    earlier.push(place.clone());
                    let owner = *owners.entry((*room, place.clone())).or_insert(id);
                    if owner != id {
                        report(
                            Law::WrongPlace,
                            *room,
                            format!("{place} is of {owner} and of {id}"),
                        );
                    }
                    if !duplicate {
                        let last = answers.last.insert(*room, place.clone());
                        if let Some(last) =
                            last.filter(|last| last.epoch == place.epoch && last.seq >= place.seq)
                        {
                            report(Law::Overtaken, *room, format!("{id} at {place}, after {last}"));
                        }
                    }
                }
                Event::Conflict { room, write, current } => {
                    answers.refused.insert(*write, *at);
                    let expected = match drafts.get(WriteId { client: number, number: *write }) {
                        Some(Draft { what: What::Set { if_version, .. }, .. }) => *if_version,
                        _ => None,
                    };
                    if expected.is_none_or(|version| version == current.1) {
                        let text = format!("refused {expected:?}, though it is {current:?}");
                        report(Law::CompareAndSet, *room, text);
                    }
                }
                _ => {}
            }
        }
        let unanswered = |write: &&usize| {
            !answers.acked.contains_key(*write) && !answers.refused.contains_key(*write)
        };
        for write in answers.sent.keys().filter(unanswered) {
            found.push(Violation {
                law: Law::Unanswered,
                room: Some(client.writes[*write].room),
                client: Some(number),
                at: None,
                text: format!("c{number}/{write} was sent {} times", answers.sent[write]),
            });
        }
        check_refused(history, logs, number, &answers, found);
    }
    sent
}

fn ack_flaws(
    logs: &Logs,
    log_kept: bool,
    drafts: &Drafts<'_>,
    id: WriteId,
    room: Room,
    place: &Position,
) -> Vec<(Law, String)> {
    let log = logs.get(room, &place.epoch);
    let whole = log.is_some_and(|log| log.end.is_some());
    match log.and_then(|log| log.entries.get(&place.seq)) {
        Some(entry) if drafts.meant(id, room, entry) => Vec::new(),
        Some(entry) => {
            vec![(Law::WrongPlace, format!("{id} acknowledged at {place}, which is `{entry}`"))]
        }
        // Of a log that was lost not all is known.
        None if whole || log_kept => vec![(Law::Lost, format!("{id} acknowledged at {place}"))],
        None => Vec::new(),
    }
}

/// What was refused as a conflict is not in the log, unless the version it
/// waits for can come back: a key that does not exist.
fn check_refused(
    history: &History,
    logs: &Logs,
    number: usize,
    answers: &Answers,
    found: &mut Vec<Violation>,
) {
    for (write, at) in &answers.refused {
        let draft = &history.clients[number].writes[*write];
        let again = matches!(draft.what, What::Set { if_version: Some(0), .. });
        let id = WriteId { client: number, number: *write };
        let entered = logs.iter().filter(|(room, _)| *room == draft.room).any(|(_, log)| {
            log.end.is_some() && log.entries.values().any(|entry| entry.write() == Some(id))
        });
        if entered && (answers.sent.get(write) == Some(&1) || !again) {
            let (room, client, at) = (Some(draft.room), Some(number), Some(*at));
            let text = format!("{id} was refused, and is in the log");
            found.push(Violation { law: Law::CompareAndSet, room, client, at, text });
        }
    }
}

/// Each entry was written by somebody, once, and compared with what was there.
fn check_log(
    room: Room,
    log: &Log,
    drafts: &Drafts<'_>,
    sent: &BTreeSet<WriteId>,
    found: &mut Vec<Violation>,
) {
    let mut report = |law, client, text| {
        found.push(Violation { law, room: Some(room), client, at: None, text });
    };
    let mut places: HashMap<WriteId, u64> = HashMap::new();
    let mut deletions: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (seq, entry) in &log.entries {
        let Some(id) = entry.write() else {
            match &entry.body {
                Body::Set { key, value: None } => {
                    *deletions.entry((entry.user.as_str(), key)).or_default() += 1;
                }
                _ => report(Law::Invented, None, format!("{seq} is `{entry}`")),
            }
            continue;
        };
        if !sent.contains(&id) || !drafts.meant(id, room, entry) {
            report(Law::Invented, None, format!("{seq} is `{entry}` of {}", entry.user));
        }
        if let Some(first) = places.insert(id, *seq) {
            report(Law::Doubled, Some(id.client), format!("`{entry}` is {first} and {seq}"));
        }
        let Some(Draft { what: What::Set { key, if_version: Some(expected), .. }, .. }) =
            drafts.get(id)
        else {
            continue;
        };
        let version = log.version_at(key, seq - 1);
        if log.end.is_some() && version != *expected {
            let text = format!("{seq} `{entry}` if {expected}, the version was {version}");
            report(Law::CompareAndSet, Some(id.client), text);
        }
    }
    for ((user, key), count) in deletions {
        let meant = sent.iter().filter(|id| {
            let own = drafts.0.clients[id.client].user == user;
            own && drafts.get(**id).is_some_and(|draft| {
                draft.room == room
                    && matches!(&draft.what, What::Set { key: k, delete: true, .. } if k == key)
            })
        });
        let meant = meant.count();
        if count > meant {
            let text = format!("{user} deleted {key} {count} times and meant {meant}");
            report(Law::Doubled, None, text);
        }
    }
}
