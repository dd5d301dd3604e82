use std::time::Duration;

use actix_web::{HttpResponse, rt::time::sleep, web};
use log::info;
use serde::{Deserialize, Serialize};

use super::{SMALL_BODY, keys::Backend};
use crate::{
    cluster::{Order, Revocation, Tokens},
    http::{body, failure::Failure},
    model::{Timestamp, UserId, wall_clock},
    session::Services,
};

/// So much of a reason is written to the log.
const REASON_CHARACTERS: usize = 200;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Request {
    /// For the log alone.
    reason: Option<String>,
    /// Whether the user's tokens are refused from now on.
    revoke: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    user: UserId,
    revoked: bool,
}

/// `POST /api/v1/users/{user}/disconnect`: sends every session of a user away, on
/// every node.
pub(super) async fn disconnect(
    _: Backend,
    user: web::Path<String>,
    payload: web::Payload,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    let user = UserId::parse(&user)
        .map_err(|error| Failure::bad_request(format!("the user in the path: {error}")))?;
    let Request { reason, revoke } = body::read(payload, SMALL_BODY).await?;
    let revoked = revoke.unwrap_or(false);
    let reason: String = reason.unwrap_or_default().chars().take(REASON_CHARACTERS).collect();
    info!("a backend disconnects {user}, tokens revoked: {revoked}, reason: {reason:?}");
    if revoked {
        let now = wall_clock();
        let tokens = Tokens::OfUser { user: user.clone(), issued_until: now };
        let until = services.settings.auth.revoked_until(now);
        services.registry.order(Order::Revoke(Revocation { tokens, until })).await?;
        services.registry.order(Order::Disconnect { user: user.clone() }).await?;
        sleep(left_of_the_second(now)).await;
    } else {
        services.registry.order(Order::Disconnect { user: user.clone() }).await?;
    }
    Ok(HttpResponse::Ok().json(Answer { user, revoked }))
}

/// The `iat` of most tokens is in whole seconds, so that those of the second of
/// the revocation count as made before it. The answer waits until none can be
/// made any more that would be taken for one of those.
fn left_of_the_second(now: Timestamp) -> Duration {
    Duration::from_millis(1_000 - now % 1_000)
}
