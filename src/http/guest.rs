use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::StatusCode,
    web,
};
use serde::{Deserialize, Serialize};

use super::{
    body,
    credentials::{self, COOKIE},
    failure::Failure,
    peer,
};
use crate::{
    auth::AuthError,
    model::{Code, Timestamp, UserId, wall_clock},
    session::Services,
};

/// A body larger than this is not looked at.
const BODY_BYTES: usize = 4096;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
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
    payload: web::Payload,
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
    peer::approach(&request, &services).await?;
    let Request { name } = body::read(payload, BODY_BYTES).await?;
    let now = wall_clock();
    let known = match credentials::bearer(&request).map(|token| services.verify(token, now)) {
        // Whom a backend sent away is not given the next one at once.
        Some(Err(error @ AuthError::Revoked)) => {
            return Err(Failure::unauthorized(error.to_string()));
        }
        known => known.and_then(Result::ok).filter(|identity| identity.guest),
    };
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
        .secure(peer::is_secure(&request, &settings.server.trusted_proxies))
        .max_age(Duration::seconds(seconds))
        .finish();
    let (token, user, expires_at) = (guest.token, guest.user, guest.expires_at);
    Ok(HttpResponse::Ok().cookie(cookie).json(Answer { token, user, expires_at }))
}
