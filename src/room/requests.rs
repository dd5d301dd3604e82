//! What sessions ask of the [`RoomSupervisor`](super::RoomSupervisor) of their
//! worker. Frames that answer go straight to the session's outbound queue, so
//! that no live message overtakes them.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::seat::Sees;
use crate::{
    broker::Start,
    model::{Grants, LinkId, Problem, Profile, RoomName, SessionId, Timestamp, UserId},
    wire::{Limits, RequestId},
};

/// A connection is about to be let in: reads the inbox of its user, which is all of
/// `welcome` that may fail. Resolves when nothing can keep `welcome` from the client
/// any more; [`Attach`] has to follow, or [`Detach`] where the connection does not begin.
#[derive(Message)]
#[rtype(result = "Result<(), Problem>")]
pub struct OpenInbox {
    /// The connection.
    pub link: LinkId,
    /// Whose it is.
    pub user: UserId,
}

/// A connection began whose inbox [was read](OpenInbox): sends `welcome` and what
/// waits in the inbox, before this resolves and without waiting for anything.
#[derive(Message)]
#[rtype(result = "Result<(), NotOpened>")]
pub struct Attach {
    /// The connection, whose queue is in the worker's [`Links`](super::Links).
    pub link: LinkId,
    /// The session's id.
    pub session: SessionId,
    /// Whose it is.
    pub profile: Arc<Profile>,
    /// What `welcome` says besides.
    pub welcome: Welcome,
}

/// This supervisor did not read the connection's inbox, or the connection is over.
/// The supervisor that did read it has panicked since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOpened;

/// What `welcome` says of the node and of the session.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// The node's name.
    pub node: Arc<str>,
    /// How often the server sends a Ping.
    pub heartbeat_interval: Duration,
    /// How long it waits for a sign of life after one.
    pub heartbeat_timeout: Duration,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
    /// What the session may do.
    pub limits: Limits,
}

/// The connection is over: its session is in no room any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detach {
    /// The connection.
    pub link: LinkId,
}

/// Become a member; resolves when `joined` is on its way.
#[derive(Message)]
#[rtype(result = "Result<(), Problem>")]
pub struct Join {
    /// The session's connection.
    pub link: LinkId,
    /// What the reply carries.
    pub id: Option<RequestId>,
    /// The room.
    pub room: RoomName,
    /// Where the session's knowledge of the log ends.
    pub start: Start,
    /// What the session's grants let it see; none for a member that only
    /// writes, which is told nothing of what is said.
    pub sees: Option<Sees>,
}

/// Cease to be a member; `left` is sent in any case.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// The session's connection.
    pub link: LinkId,
    /// What the reply carries.
    pub id: Option<RequestId>,
    /// The room.
    pub room: RoomName,
}

/// Say who is in a room; resolves when that is on its way.
#[derive(Message)]
#[rtype(result = "Result<(), Problem>")]
pub struct ListMembers {
    /// The session's connection.
    pub link: LinkId,
    /// What the reply carries.
    pub id: Option<RequestId>,
    /// The room.
    pub room: RoomName,
}

/// A session has a new token: what it shows of itself may be new, and whether
/// it sees who is in its rooms.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renew {
    /// The session's connection.
    pub link: LinkId,
    /// What it shows of itself.
    pub profile: Arc<Profile>,
    /// What it may do.
    pub grants: Arc<Grants>,
}

/// Tell of these users' state, now and when it changes; resolves when the first
/// is on its way.
#[derive(Message)]
#[rtype(result = "Result<(), Problem>")]
pub struct Watch {
    /// The session's connection.
    pub link: LinkId,
    /// What the reply carries.
    pub id: Option<RequestId>,
    /// The users.
    pub users: Vec<UserId>,
}

/// Tell of these users no more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unwatch {
    /// The session's connection.
    pub link: LinkId,
    /// The users.
    pub users: Vec<UserId>,
}
