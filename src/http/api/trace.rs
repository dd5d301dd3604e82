//! `GET /api/v1/trace`: what happens to a user or in a room, live, over a WebSocket.
//!
//! Browsers set no headers on a WebSocket, and what stands in an address or a header may
//! be logged on the way. So the key comes with the first message.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Deserialize;

use super::{
    call::name_problem,
    fields::User,
    keys::{self, Backend},
};
use crate::{
    config::Scope,
    http::{
        body, call_id, entrance,
        failure::{Failure, Told},
        peer, socket,
    },
    model::{Problem, RoomName, Subject},
    session::{Role, Seed, Services, Wanted},
    trace::TooMany,
    wire::Protocol,
};

/// How long to wait where too many are about to trace.
const BUSY: Duration = Duration::from_secs(5);

/// What the first message says.
#[derive(Deserialize)]
struct Wish {
    key: Option<String>,
    user: Option<User>,
    room: Option<String>,
    #[serde(default)]
    content: bool,
}

/// Follow a user or a room.
///
/// A WebSocket. The first message of the client says what to follow: `{"key", "user"}` or
/// `{"key", "room"}`, and `"content": true` to see what is published too. The key may come as a
/// bearer token instead. It needs the scope `trace`, for contents `history` too. What is answered
/// and told is in docs/api.md.
#[utoipa::path(
    get, path = "/api/v1/trace", tag = "cluster", operation_id = "trace", security(("api_key" = []), ()),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 401, description = "The key is not known", body = Told),
        (status = 403, description = "The key has not the scope, or pages of this origin may not connect", body = Told),
        (status = 404, description = "No key is configured: there is no backend API", body = Told),
        (status = 426, description = "This is no handshake of a WebSocket", body = Told),
        (status = 429, description = "Too many connections or attempts", body = Told),
        (status = 503, description = "The node is full, is draining, or too many are about to trace", body = Told),
    ),
)]
pub(super) async fn trace(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    entrance::opened(&request, &services, open(&request, &services)).await
}

async fn open(
    request: &HttpRequest,
    services: &web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    let address = peer::approach(request, services).await?;
    keys::require_on(services)?;
    let shown = match request.headers().get(header::AUTHORIZATION) {
        Some(_) => {
            let backend = keys::check(request)?;
            backend.require(Scope::Trace)?;
            Some(backend)
        }
        None => None,
    };
    let response = socket::handshake(request)?.finish();
    let place = services.traces.approach().map_err(|TooMany| {
        Failure::unavailable("as many connections as may are about to trace").retry_after(BUSY)
    })?;
    let permit = services.registry.admit(address, None, None).await?;
    let services = services.clone();
    let admit = Box::new(move |text: &str| admit(&services, shown, text).map_err(Problem::from));
    let role = Role::Trace { admit, place };
    Ok(socket::sown(
        response,
        Seed { call: call_id::of(request), permit, role, protocol: Protocol::Json },
    ))
}

/// Reads the first message.
fn admit(
    services: &web::Data<Services>,
    shown: Option<Backend>,
    text: &str,
) -> Result<Wanted, Failure> {
    let Wish { key, user, room, content } = body::parse(text.as_bytes())?;
    let backend = match shown {
        Some(backend) => backend,
        None => keys::known_by(services, key.as_deref())?,
    };
    backend.require(Scope::Trace)?;
    if content {
        backend.require(Scope::History)?;
    }
    let subject = match (user, room) {
        (Some(User(user)), None) => Subject::User(user),
        (None, Some(room)) => {
            let room = RoomName::parse(&room).map_err(|error| name_problem("`room`", &error))?;
            backend.require_room(&room)?;
            Subject::Room(room)
        }
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request("expected `user` or `room`, got both"));
        }
        (None, None) => return Err(Failure::bad_request("expected `user` or `room`, got neither")),
    };
    let by = backend.name().to_owned();
    Ok(Wanted { subject, content, by, sees: Box::new(move |room| backend.reaches(room)) })
}
