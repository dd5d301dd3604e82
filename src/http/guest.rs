use std::{net::IpAddr, net::Ipv4Addr, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::StatusCode,
    web,
};
use serde::{Deserialize, Serialize};

use super::{credentials::COOKIE, failure::Failure, origin};
use crate::{
    config::Guest,
    model::{Code, Timestamp, UserId, wall_clock},
    session::Services,
};

/// A body larger than this is not looked at.
const BODY_BYTES: usize = 4096;

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

/// `POST /auth/guest`: a token for anyone who takes a name, where that is on.
pub(super) async fn enter(
    request: HttpRequest,
    body: web::Payload,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    let settings = &services.settings;
    let on = match settings.auth.guest {
        Guest::On => true,
        Guest::Off => false,
        Guest::Auto => settings.server.is_loopback_only(),
    };
    let minter = services.verifier.minter().filter(|_| on).ok_or_else(|| {
        Failure::not_found(
            "guest login is off: `auth.guest` is `off`, or `auto` on an address that others \
             reach, or no secret signs tokens",
        )
    })?;
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    services.registry.attempt(address, Instant::now())?;
    origin::check(&request, &services)?;

    let body = body.to_bytes_limited(BODY_BYTES).await.map_err(|_| {
        let message = format!("the body is over {BODY_BYTES} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message)
    })?;
    let body = body.map_err(|_| Failure::bad_request("the body did not arrive whole"))?;
    let Request { name } = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("expected {{\"name\": \"…\"}}: {error}")))?;
    let guest = minter.guest(&name, wall_clock()).map_err(|problem| {
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
