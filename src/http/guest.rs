use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    web,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body,
    credentials::{self, COOKIE},
    failure::{Failure, Told},
    peer, schema,
};
use crate::{
    auth::AuthError,
    model::{Timestamp, UserId, wall_clock},
    session::Services,
};

/// A body larger than this is not looked at.
const BODY_BYTES: usize = 4096;

/// Who a guest wants to be.
#[derive(Deserialize, ToSchema)]
#[schema(as = Guest)]
pub(super) struct Request {
    #[schema(schema_with = schema::guest_name)]
    name: String,
}

/// A guest's token.
#[derive(Serialize, ToSchema)]
#[schema(as = GuestToken)]
pub(super) struct Answer {
    token: String,
    #[schema(schema_with = schema::user)]
    user: UserId,
    #[schema(schema_with = schema::count)]
    expires_at: Timestamp,
}

/// `POST /auth/guest`: a token for anyone who takes a name, where that is on. A
/// guest whose token still holds gets another one for the same user.
#[utoipa::path(
    post, path = "/auth/guest", tag = "open", operation_id = "guest", security((), ("token" = [])),
    request_body(content = Request, example = json!({"name": "Ada"})),
    responses(
        (status = 200, description = "The token, which is in the cookie `rookery_token` too", body = Answer),
        (status = 400, description = "The body or the name does not fit", body = Told),
        (status = 401, description = "The guest's token was revoked", body = Told),
        (status = 403, description = "Pages of this origin may not ask", body = Told),
        (status = 404, description = "`auth.guest` does not allow it", body = Told),
        (status = 408, description = "The body did not arrive", body = Told),
        (status = 413, description = "The body is over 4 KiB", body = Told),
        (status = 429, description = "Too many attempts", body = Told),
        (status = 503, description = "The node is full, is draining, or cannot reach the others", body = Told),
    ),
)]
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
    let guest = guest?;
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
