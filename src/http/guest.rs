use std::time;

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::StatusCode,
    web,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    credentials::{self, COOKIE},
    failure::Failure,
    peer,
};
use crate::{
    model::{Code, Timestamp, UserId, wall_clock},
    session::Services,
};

/// A body larger than this is not looked at.
const BODY_BYTES: usize = 4096;

/// How long it may take to arrive.
const BODY_TIMEOUT: time::Duration = time::Duration::from_secs(10);

#[derive(Deserialize)]
struct Request {
    name: String,
}

#[derive(Serialize)]
struct Answer {
    token: String,
    user: UserId,
    expires_at: Timestamp,
}

/// `POST /auth/guest`: a token for anyone who takes a name, where that is on. A
/// guest whose token still holds gets another one for the same user.
pub(super) async fn enter(
    request: HttpRequest,
    body: web::Payload,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    let settings = &services.settings;
    let minter = services.verifier.minter().filter(|_| settings.guests_allowed());
    let minter = minter.ok_or_else(|| {
        Failure::not_found(
            "guest login is off: `auth.guest` is `off`, or `auto` on an address that others \
             reach, or no secret signs tokens",
        )
    })?;
    peer::approach(&request, &services)?;
    let Request { name } = read(body).await?;
    let now = wall_clock();
    let known = credentials::bearer(&request)
        .and_then(|token| services.verifier.verify(token, now).ok())
        .filter(|identity| identity.guest);
    let guest = match known {
        Some(identity) => minter.renew_guest(&identity.profile, now),
        None => minter.guest(&name, now),
    };
    let guest = guest.map_err(|problem| {
        let status = match problem.code {
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Failure::new(status, problem.code, problem.message)
    })?;
    let seconds = i64::try_from(settings.auth.guest_ttl.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build(COOKIE, guest.token.clone())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::seconds(seconds))
        .finish();
    let (token, user, expires_at) = (guest.token, guest.user, guest.expires_at);
    Ok(HttpResponse::Ok().cookie(cookie).json(Answer { token, user, expires_at }))
}

async fn read(body: web::Payload) -> Result<Request, Failure> {
    let whole = timeout(BODY_TIMEOUT, body.to_bytes_limited(BODY_BYTES)).await.map_err(|_| {
        let message = format!("the body did not arrive within {BODY_TIMEOUT:?}");
        Failure::new(StatusCode::REQUEST_TIMEOUT, Code::BadMessage, message)
    })?;
    let whole = whole.map_err(|_| {
        let message = format!("the body is over {BODY_BYTES} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message)
    })?;
    let whole = whole.map_err(|_| Failure::bad_request("the body did not arrive whole"))?;
    serde_json::from_slice(&whole)
        .map_err(|error| Failure::bad_request(format!("expected {{\"name\": \"…\"}}: {error}")))
}
