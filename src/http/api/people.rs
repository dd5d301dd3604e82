use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::Call,
    writing::{self, Delivered},
};
use crate::{
    http::{
        failure::Failure,
        schema::{self, Message, ReadRefusals, WriteRefusals},
    },
    model::{Availability, Member, RoomName, Timestamp, UserId},
    presence::{Find, Inspect, Whereabouts},
};

/// Who is in a room.
#[derive(Serialize, ToSchema)]
pub(super) struct Members {
    #[schema(schema_with = schema::room)]
    room: RoomName,
    /// One for each user; none where they are more than `rooms.presence_limit`.
    #[schema(value_type = Vec<schema::Member>)]
    members: Vec<Member>,
    /// How many users there are.
    #[schema(schema_with = schema::count)]
    count: usize,
}

/// See who is in a room.
///
/// On all nodes. Rooms with more users than the configuration shows give their
/// number alone.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/presence", tag = "rooms", operation_id = "presence",
    params(("room" = schema::Room, Path, description = "The room")),
    responses(
        (status = 200, description = "Who is there", body = Members, example = json!({
            "room": "lobby", "count": 1, "members": [{"user": "alice", "name": "Alice",
                "status": "online", "sessions": 2, "since": 1_767_225_600_000_u64, "meta": null}],
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn presence(call: Call) -> Result<Members, Failure> {
    let room = call.room()?;
    let (members, count) = call.services().presence.send(Inspect { room: room.clone() }).await??;
    Ok(Members { room, members, count })
}

/// Where a user is.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    #[schema(schema_with = schema::user)]
    user: UserId,
    /// Whether the user has a session anywhere, or had one up to `presence.grace` ago.
    online: bool,
    #[schema(schema_with = schema::availability)]
    status: Availability,
    /// When the first of its present sessions came; null where it is offline.
    #[schema(schema_with = schema::nullable_time, required = true)]
    since: Option<Timestamp>,
    /// How many sessions it has on all nodes.
    #[schema(schema_with = schema::count)]
    sessions: usize,
    /// The nodes that have some of them.
    nodes: Vec<SessionsAt>,
}

/// The sessions of a user with one node.
#[derive(Serialize, ToSchema)]
struct SessionsAt {
    /// The node's name.
    #[schema(value_type = String)]
    node: Box<str>,
    #[schema(schema_with = schema::count)]
    sessions: usize,
}

/// Find a user.
///
/// Whether it is online, and with how many sessions on which nodes. A user that
/// was never seen is offline.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "users", operation_id = "user",
    params(("user" = schema::User, Path, description = "The user")),
    responses(
        (status = 200, description = "How the user is", body = Found, example = json!({
            "user": "alice", "online": true, "status": "away", "since": 1_767_225_600_000_u64,
            "sessions": 3, "nodes": [{"node": "n1", "sessions": 1}, {"node": "n2", "sessions": 2}],
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn user(call: Call) -> Result<Found, Failure> {
    let user = call.user()?;
    let services = call.services();
    let found = services.presence.send(Find { user: user.clone() }).await??;
    let Whereabouts { availability, since, here, elsewhere } = found;
    let own = (services.node.as_ref().into(), here);
    let nodes = elsewhere.into_iter().chain([own]).filter(|(_, sessions)| *sessions > 0);
    let mut nodes: Vec<SessionsAt> =
        nodes.map(|(node, sessions)| SessionsAt { node, sessions }).collect();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(Found {
        user,
        online: availability != Availability::Offline,
        status: availability,
        since,
        sessions: nodes.iter().map(|at| at.sessions).sum(),
        nodes,
    })
}

/// Send a user a message.
///
/// To all its sessions, and kept until one of them has seen it. With `user`, which
/// is the sender, also to the sender's sessions.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/messages", tag = "users", operation_id = "direct",
    params(("user" = schema::User, Path, description = "The recipient")),
    request_body(content = Message, example = json!({"content": "Your order is in", "nonce": "order-17"})),
    responses(
        (status = 200, description = "It is in the inbox", body = Delivered,
            example = json!({"user": "alice", "epoch": "0c4417fe3d0a9b28", "seq": 3})),
        WriteRefusals,
    ),
)]
pub(super) async fn direct(call: Call) -> Result<Delivered, Failure> {
    let user = call.user()?;
    let message = call.message()?;
    Ok(writing::direct(call.services(), user, message).await?)
}
