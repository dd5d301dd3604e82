use std::sync::Arc;

use log::info;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{call::Call, disconnect::short_reason};
use crate::{
    cluster::{Connection, Order},
    http::{
        failure::Failure,
        schema::{self, ReadRefusals, WriteRefusals},
    },
    model::{SessionId, UserId},
    presence::Find,
    session::Found,
};

/// The sessions of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    #[schema(schema_with = schema::user)]
    user: UserId,
    /// Those first that began first.
    #[schema(value_type = Vec<schema::SessionShown>)]
    sessions: Vec<SessionAt>,
    /// The nodes that have some, but did not say which within a second.
    #[schema(value_type = Vec<String>)]
    silent: Vec<Box<str>>,
}

#[derive(Serialize)]
struct SessionAt {
    node: Arc<str>,
    #[serde(flatten)]
    connection: Connection,
}

/// See a user's sessions.
///
/// On all nodes, each with up to 100 of the rooms it is in. The nodes are asked each time; one
/// that has sessions of the user and does not answer within a second is named in `silent`. Of
/// the rooms a key sees those that it is for.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/sessions", tag = "users", operation_id = "sessions",
    params(("user" = schema::User, Path, description = "The user")),
    responses(
        (status = 200, description = "The sessions", body = Sessions, example = json!({
            "user": "alice", "sessions": [{"node": "n1",
                "session": "6f1d0c7b2a9e4f538c01b7d2e6a4953f0d1c2b3a49586776",
                "since": 1_767_225_600_000_u64, "transport": "websocket", "rooms": ["lobby"],
                "room_count": 1}],
            "silent": [],
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn sessions(call: Call) -> Result<Sessions, Failure> {
    let user = call.user()?;
    let services = call.services();
    let found = services.presence.send(Find { user: user.clone() }).await??;
    let elsewhere = found.elsewhere.into_iter().filter(|(_, sessions)| *sessions > 0);
    let elsewhere = elsewhere.map(|(node, _)| node).collect();
    let census = services.census.sessions(&user, elsewhere, services.cluster.as_deref());
    let Found { sessions, silent } = census.await?;
    let shown = |(node, mut connection): (Arc<str>, Connection)| {
        connection.rooms.retain(|room| call.backend.reaches(room));
        SessionAt { node, connection }
    };
    Ok(Sessions { user, sessions: sessions.into_iter().map(shown).collect(), silent })
}

/// Why a session is ended.
#[derive(Deserialize, ToSchema)]
pub(super) struct Ending {
    /// For the server's log alone.
    reason: Option<String>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    #[schema(schema_with = schema::user)]
    user: UserId,
    #[schema(value_type = schema::Session)]
    session: SessionId,
}

/// Disconnect one session.
///
/// Closes it, on whichever node it is, with 1008 `kicked`; the user's other sessions stay. That
/// there is none any more is no mistake.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/sessions/{session}/disconnect", tag = "users",
    operation_id = "disconnect_session",
    params(
        ("user" = schema::User, Path, description = "The user"),
        ("session" = schema::Session, Path, description = "The session's id"),
    ),
    request_body(content = Option<Ending>, example = json!({"reason": "left open"})),
    responses(
        (status = 200, description = "All nodes were told", body = Ended,
            example = json!({"user": "alice",
                "session": "6f1d0c7b2a9e4f538c01b7d2e6a4953f0d1c2b3a49586776"})),
        WriteRefusals,
    ),
)]
pub(super) async fn disconnect(call: Call) -> Result<Ended, Failure> {
    let user = call.user()?;
    let Ending { reason } = call.read()?;
    let unknown = || Failure::not_found("this is no session of this user");
    let session = SessionId::parse(&call.path().session, user.as_str()).ok_or_else(unknown)?;
    let (by, reason) = (call.backend.name(), short_reason(reason));
    info!("{by} disconnects session {session} of {user}, reason: {reason:?}");
    call.services().registry.order(Order::End { session: session.clone() }).await?;
    Ok(Ended { user, session })
}
