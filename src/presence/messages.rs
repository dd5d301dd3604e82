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
    /// The answer to [`Request::Track`] and to [`Request::WhoIs`].
    Members {
        /// Of the question.
        ticket: Ticket,
        /// Who is there.
        members: Vec<Member>,
        /// How many are there.
        count: usize,
    },
    /// The answer to [`Request::Track`] where the room takes no more sessions.
    RoomFull {
        /// Of the question.
        ticket: Ticket,
    },
    /// The answer to [`Request::WhoIs`] where the other nodes cannot be asked now.
    Unreachable {
        /// Of the question.
        ticket: Ticket,
    },
    /// The answer to [`Request::Watch`].
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

/// What a worker tells presence and asks of it, by its [`Line`](super::Line).
#[derive(Debug)]
pub enum Request {
    /// A connection of a user began, or shows something else of its user now.
    Connect {
        /// The connection.
        link: LinkId,
        /// Where it lives.
        worker: WorkerId,
        /// Whose it is.
        profile: Arc<Profile>,
    },
    /// A connection ended; its user leaves after the grace.
    Disconnect {
        /// The connection.
        link: LinkId,
    },
    /// A session became a member; answered with [`News::Members`] or
    /// [`News::RoomFull`].
    Track {
        /// For the answer.
        ticket: Ticket,
        /// Who asks.
        worker: WorkerId,
        /// The session's connection.
        link: LinkId,
        /// The room.
        room: RoomName,
    },
    /// A session is no member any more, by its own will.
    Untrack {
        /// The session's connection.
        link: LinkId,
        /// The room.
        room: RoomName,
    },
    /// A user says something new of itself.
    SetStatus {
        /// A connection of the user.
        link: LinkId,
        /// What to show.
        status: Status,
        /// What to show besides; unchanged where there is none.
        meta: Option<Arc<RawValue>>,
    },
    /// Who is in a room? Answered with [`News::Members`] or [`News::Unreachable`].
    WhoIs {
        /// For the answer.
        ticket: Ticket,
        /// Who asks.
        worker: WorkerId,
        /// The room.
        room: RoomName,
    },
    /// The worker wants to know of changes in these users' state; answered with
    /// [`News::Watched`].
    Watch {
        /// For the answer.
        ticket: Ticket,
        /// Who asks.
        worker: WorkerId,
        /// The users.
        users: Vec<UserId>,
    },
    /// The worker does not want to know of this user any more.
    Unwatch {
        /// Who asked.
        worker: WorkerId,
        /// The user.
        user: UserId,
    },
}

/// Requests of one worker, in their order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Requests(pub Vec<Request>);

/// The node ends: all of its users leave now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finish;

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
