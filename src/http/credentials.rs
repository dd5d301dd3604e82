use actix_web::{HttpRequest, http::header};
use log::debug;

use super::{call_id, failure::Failure};
use crate::{auth::Identity, model::wall_clock, session::Services};

/// The cookie that holds a browser's token.
pub(super) const COOKIE: &str = "rookery_token";

/// What a token offered as a subprotocol begins with.
const SUBPROTOCOL: &str = "bearer.";

/// Who asks: the first token found in the `Authorization` header, the offered
/// subprotocols, the query or the cookie. What a client says of this one
/// connection goes before the cookie, which all its connections share.
pub(super) fn identity(request: &HttpRequest, services: &Services) -> Result<Identity, Failure> {
    let refused = &services.metrics.tokens_refused;
    let Some(token) = token(request) else {
        refused.count("missing");
        return Err(Failure::unauthorized(
            "a token is needed: in `Authorization: Bearer`, as subprotocol `bearer.<token>`, \
             in the cookie `rookery_token` or in `?token=`",
        ));
    };
    let verified = services.verify(&token, wall_clock());
    verified.map_err(|error| {
        debug!("request {}: a token was refused: {}", call_id::of(request), error.cause());
        refused.count(error.cause());
        Failure::unauthorized(error.to_string())
    })
}

fn token(request: &HttpRequest) -> Option<String> {
    if let Some(token) = bearer(request) {
        return Some(token.to_owned());
    }
    if let Some(token) = offers(request).find_map(|offer| offer.strip_prefix(SUBPROTOCOL)) {
        return Some(token.to_owned());
    }
    let query = form_urlencoded::parse(request.query_string().as_bytes());
    if let Some((_, token)) = query.into_iter().find(|(name, _)| name == "token") {
        return Some(token.into_owned());
    }
    request.cookie(COOKIE).map(|cookie| cookie.value().to_owned())
}

/// The token of the `Authorization` header.
pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let authorization = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The subprotocols a client offers, which may stand in several header lines.
pub(super) fn offers(request: &HttpRequest) -> impl Iterator<Item = &str> {
    request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}
