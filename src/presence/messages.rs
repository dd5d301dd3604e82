//! What presence is told and asked, and what it tells workers.

use std::sync::Arc;

use actix::prelude::*;
use serde_json::value::RawValue;

use crate::{
    cluster::Unreachable,
    model::{
        Availability, LinkId, Member, PresenceChanges, Profile, RoomName, Status, Timestamp,
        UserId, WorkerId,
    },
};

/// By what a worker finds the question that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a worker is told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum News {
    /// The answer to [`Track`] and to [`WhoIs`].
    Members {
        /// Of the question.
        ticket: Ticket,
        /// Who is there.
        members: Vec<Member>,
        /// How many are there.
        count: usize,
    },
    /// The answer to [`Track`] where the room takes no more sessions.
    RoomFull {
        /// Of the question.
        ticket: Ticket,
    },
    /// The answer to [`WhoIs`] where the other nodes cannot be asked now.
    Unreachable {
        /// Of the question.
        ticket: Ticket,
    },
    /// The answer to [`Watch`].
    Watched {
        /// Of the question.
        ticket: Ticket,
        /// How they are now.
        users: Vec<(UserId, Availability)>,
    },
    /// The members of a room changed.
    Changed {
        /// The room.
        room: RoomName,
        /// What changed.
        changes: PresenceChanges,
    },
    /// A watched user's state changed.
    Online {
        /// The user.
        user: UserId,
        /// How it is now.
        availability: Availability,
    },
}

/// A worker that wants news.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Register {
    /// Its name.
    pub worker: WorkerId,
    /// Its queue.
    pub news: Recipient<News>,
}

/// A connection of a user began.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    /// The connection.
    pub link: LinkId,
    /// Where it lives.
    pub worker: WorkerId,
    /// Whose it is.
    pub profile: Arc<Profile>,
}

/// A connection ended; its user leaves after the grace.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Disconnect {
    /// The connection.
    pub link: LinkId,
}

/// A session became a member; answered with [`News::Members`] or
/// [`News::RoomFull`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Track {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The session's connection.
    pub link: LinkId,
    /// The room.
    pub room: RoomName,
}

/// A session is no member any more, by its own will.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Untrack {
    /// The session's connection.
    pub link: LinkId,
    /// The room.
    pub room: RoomName,
}

/// A user says something new of itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetStatus {
    /// A connection of the user.
    pub link: LinkId,
    /// What to show.
    pub status: Status,
    /// What to show besides; unchanged where there is none.
    pub meta: Option<Arc<RawValue>>,
}

/// The node ends: all of its users leave now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish;

/// Asks who is in a room; answered with [`News::Members`] or
/// [`News::Unreachable`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct WhoIs {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The room.
    pub room: RoomName,
}

/// A worker wants to know of changes in these users' state; answered with
/// [`News::Watched`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Watch {
    /// For the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub worker: WorkerId,
    /// The users.
    pub users: Vec<UserId>,
}

/// A worker does not want to know of this user any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unwatch {
    /// Who asked.
    pub worker: WorkerId,
    /// The user.
    pub user: UserId,
}

/// Asks who is in a room, for somebody who is no worker: members and their
/// number, as for a client.
#[derive(Message)]
#[rtype(result = "Result<(Vec<Member>, usize), Unreachable>")]
pub struct Inspect {
    /// The room.
    pub room: RoomName,
}

/// Asks where a user is, for somebody who is no worker.
#[derive(Message)]
#[rtype(result = "Result<Whereabouts, Unreachable>")]
pub struct Find {
    /// The user.
    pub user: UserId,
}

/// Where a user is.
#[derive(Debug)]
pub struct Whereabouts {
    /// Whether it is there, and how.
    pub availability: Availability,
    /// Since when, where it is.
    pub since: Option<Timestamp>,
    /// Its sessions with this node; none also while a grace lasts.
    pub here: usize,
    /// Those with the other nodes, by their names.
    pub elsewhere: Vec<(Box<str>, usize)>,
}

/// Asks in which rooms these connections of this node are.
#[derive(Message)]
#[rtype(result = "Vec<Vec<RoomName>>")]
pub struct RoomsOf {
    /// The connections.
    pub links: Vec<LinkId>,
}

/// Asks how many users are in each of these rooms, on all nodes.
#[derive(Message)]
#[rtype(result = "Result<Vec<usize>, Unreachable>")]
pub struct Headcount {
    /// The rooms.
    pub rooms: Vec<RoomName>,
}

/// Asks how many users this node has, and in how many rooms they are.
#[derive(Message)]
#[rtype(result = "(usize, usize)")]
pub struct Survey;

/// Asks which rooms have most users, and how many: at most so many rooms, those
/// with most first.
#[derive(Message)]
#[rtype(result = "Vec<(RoomName, usize)>")]
pub struct Largest(pub usize);
