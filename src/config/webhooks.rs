use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{Secret, read};
use crate::model::Pattern;

/// `[webhooks]`: which backends are told who comes and goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Where the first backend is told; none where nobody is.
    #[serde(deserialize_with = "read::url")]
    pub url: Option<Url>,
    /// What the calls to it are signed with; several while one takes the place
    /// of another.
    #[serde(deserialize_with = "read::secrets")]
    pub keys: Vec<Secret>,
    /// Which events it is told of.
    pub events: Vec<HookEvent>,
    /// In which rooms.
    pub rooms: Vec<Pattern>,
    /// In which rooms it is told of each message besides.
    pub messages: Vec<Pattern>,
    /// At most so many events are told in one call.
    #[serde(deserialize_with = "read::positive")]
    pub batch: usize,
    /// For about how long events are gathered.
    #[serde(deserialize_with = "read::period")]
    pub delay: Duration,
    /// How long a call may take.
    #[serde(deserialize_with = "read::period")]
    pub timeout: Duration,
    /// About how long after a failed call it is made again the first time; the
    /// time doubles with each failure.
    #[serde(deserialize_with = "read::period")]
    pub retry: Duration,
    /// The longest that this time becomes.
    #[serde(deserialize_with = "read::period")]
    pub retry_most: Duration,
    /// About how many events may wait for one endpoint.
    #[serde(deserialize_with = "read::positive")]
    pub queue: usize,
    /// More backends.
    pub endpoint: Vec<Endpoint>,
}

/// `[[webhooks.endpoint]]`: one more backend. It is told by itself: one that is
/// down holds up no other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// By what logs, metrics and its queue name it.
    #[serde(deserialize_with = "read::endpoint_name")]
    pub name: String,
    /// As [`Webhooks::url`].
    #[serde(deserialize_with = "read::some_url")]
    pub url: Url,
    /// As [`Webhooks::keys`].
    #[serde(deserialize_with = "read::secrets")]
    pub keys: Vec<Secret>,
    /// As [`Webhooks::events`].
    #[serde(default = "all_events")]
    pub events: Vec<HookEvent>,
    /// As [`Webhooks::rooms`].
    #[serde(default = "all_rooms")]
    pub rooms: Vec<Pattern>,
    /// As [`Webhooks::messages`].
    #[serde(default)]
    pub messages: Vec<Pattern>,
}

/// What a backend may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// The first user came into a room.
    RoomOccupied,
    /// The last one left it.
    RoomVacated,
    /// A user came into a room, with its first session there.
    MemberJoined,
    /// A user left a room, with its last one.
    MemberLeft,
    /// A user has a connection.
    UserOnline,
    /// It has none any more.
    UserOffline,
}

fn all_events() -> Vec<HookEvent> {
    use HookEvent::{MemberJoined, MemberLeft, RoomOccupied, RoomVacated, UserOffline, UserOnline};
    vec![RoomOccupied, RoomVacated, MemberJoined, MemberLeft, UserOnline, UserOffline]
}

fn all_rooms() -> Vec<Pattern> {
    Pattern::parse("*").into_iter().collect()
}

impl Webhooks {
    /// The name of the endpoint that `webhooks.url` is.
    pub const FIRST: &str = "main";

    /// All endpoints, the one that `url` is first.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let first = self.url.clone().map(|url| Endpoint {
            name: Self::FIRST.to_owned(),
            url,
            keys: self.keys.clone(),
            events: self.events.clone(),
            rooms: self.rooms.clone(),
            messages: self.messages.clone(),
        });
        first.into_iter().chain(self.endpoint.iter().cloned()).collect()
    }
}
