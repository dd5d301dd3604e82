//! How what several nodes know of one user becomes what is shown of it. All
//! nodes come to the same, as nothing depends on which node folds.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Occupant, Person};
use crate::{
    cluster::{Entry, Said},
    model::{Member, Status, Timestamp, UserId},
};

/// What one node knows of a user in a room.
struct Part<'a> {
    /// None where the user's id stands for it.
    name: Option<&'a Arc<str>>,
    meta: Option<&'a Arc<RawValue>>,
    profiled_at: Timestamp,
    said: Option<&'a Said>,
    sessions: usize,
    since: Timestamp,
}

impl Part<'_> {
    /// By what the profile to be shown is chosen. The text decides where two
    /// nodes learnt theirs in the same millisecond.
    fn rank<'b>(&'b self, user: &'b UserId) -> (Timestamp, &'b str, Option<&'b str>) {
        let name = self.name.map_or(user.as_str(), |name| name);
        (self.profiled_at, name, self.meta.map(|meta| meta.get()))
    }
}

impl<'a> From<&'a Entry> for Part<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            name: Some(&entry.name),
            meta: entry.meta.as_ref(),
            profiled_at: entry.profiled_at,
            said: entry.said.as_ref(),
            sessions: entry.sessions,
            since: entry.since,
        }
    }
}

impl Occupant {
    /// The user as others see it; `person` is what this node knows of it.
    pub(super) fn member(&self, user: &UserId, person: Option<&Person>) -> Option<Member> {
        let here = self.here.as_ref().zip(person).map(|(here, person)| Part {
            name: person.profile.name.as_ref(),
            meta: person.profile.meta.as_ref(),
            profiled_at: person.profiled_at,
            said: person.said.as_ref(),
            sessions: here.sessions,
            since: here.since,
        });
        let elsewhere = self.elsewhere.iter().map(|word| Part::from(&word.entry));
        fold(user, here.into_iter().chain(elsewhere))
    }
}

fn fold<'a>(user: &UserId, parts: impl Iterator<Item = Part<'a>>) -> Option<Member> {
    let mut shown: Option<Part<'a>> = None;
    let mut said = None;
    let (mut sessions, mut since) = (0, Timestamp::MAX);
    for part in parts {
        sessions += part.sessions;
        since = since.min(part.since);
        said = newest([said, part.said].into_iter().flatten());
        if shown.as_ref().is_none_or(|shown| part.rank(user) > shown.rank(user)) {
            shown = Some(part);
        }
    }
    let shown = shown?;
    let meta = said.and_then(|said: &Said| said.meta.as_ref()).or(shown.meta);
    Some(Member {
        user: user.clone(),
        name: shown.name.cloned().unwrap_or_else(|| user.as_str().into()),
        status: said.map_or(Status::Online, |said| said.status),
        // In its grace a user is shown as others last saw it.
        sessions: sessions.max(1),
        since,
        meta: meta.cloned(),
    })
}

/// What holds of all that a user said.
pub(super) fn newest<'a>(said: impl Iterator<Item = &'a Said>) -> Option<&'a Said> {
    said.reduce(|one, other| if outdates(other, one) { other } else { one })
}

/// Whether a user said `this` after `that`. The text decides where it said both
/// in the same millisecond, on two nodes.
pub(super) fn outdates(this: &Said, that: &Said) -> bool {
    rank(this) > rank(that)
}

fn rank(said: &Said) -> (Timestamp, &str, Option<&str>) {
    (said.at, said.status.as_str(), text(said.meta.as_ref()))
}

/// Whether nobody could tell the two apart.
pub(super) fn alike(one: &Member, other: &Member) -> bool {
    let plain = |it: &Member| (it.status, it.sessions, it.since);
    plain(one) == plain(other)
        && one.name == other.name
        && text(one.meta.as_ref()) == text(other.meta.as_ref())
}

/// JSON as it came, to be compared.
pub(super) fn text(json: Option<&Arc<RawValue>>) -> Option<&str> {
    json.map(|json| json.get())
}
