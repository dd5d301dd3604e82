use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    backend::event::Said,
    model::{CallId, Grants, RoomName, SessionId, Timestamp, UserId, wall_clock},
};

/// Who wants something.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Who<'a> {
    /// The user; none for a message without one.
    pub user: Option<&'a UserId>,
    /// Its session; none while it connects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a SessionId>,
    /// The request by which it came; not told in the body, but in a header.
    #[serde(skip)]
    pub call: &'a CallId,
}

/// What a backend is asked.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    timestamp: Timestamp,
    #[serde(flatten)]
    who: Who<'a>,
    #[serde(flatten)]
    kind: Kind<'a>,
}

#[derive(Serialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(super) enum Kind<'a> {
    Connect {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a RawValue>,
        grants: &'a Grants,
        guest: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// Whether the user is connected already, and shows a new token.
        refresh: bool,
    },
    Join {
        room: &'a RoomName,
    },
    Publish {
        room: &'a RoomName,
        #[serde(flatten)]
        said: Said<'a>,
    },
}

impl<'a> Question<'a> {
    /// The request for the sake of which this is asked.
    pub(super) fn call(&self) -> &CallId {
        self.who.call
    }

    /// Who wants something.
    pub(super) fn user(&self) -> Option<&UserId> {
        self.who.user
    }

    /// The room in which.
    pub(super) fn room(&self) -> Option<&RoomName> {
        match self.kind {
            Kind::Connect { .. } => None,
            Kind::Join { room } | Kind::Publish { room, .. } => Some(room),
        }
    }

    pub(super) fn new(who: Who<'a>, kind: Kind<'a>) -> Self {
        Self { timestamp: wall_clock(), who, kind }
    }

    /// A word for metrics.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Connect { .. } => "connect",
            Kind::Join { .. } => "join",
            Kind::Publish { .. } => "publish",
        }
    }
}
