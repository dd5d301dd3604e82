use std::sync::Arc;

use actix_web::{HttpResponse, web};
use log::info;
use serde::{Deserialize, Serialize};

use super::{SMALL_BODY, keys::Backend};
use crate::{
    cluster::{Order, Revocation, Tokens},
    http::{body, failure::Failure},
    model::{Timestamp, wall_clock},
    session::Services,
};

/// The longest `jti` that can be revoked.
const JTI_BYTES: usize = 1024;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Request {
    /// When the token ends by itself.
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Answer {
    jti: Arc<str>,
    revoked: bool,
    /// How long that is remembered.
    until: Timestamp,
}

/// `POST /api/v1/tokens/{jti}/revoke`: refuses one token from now on, and ends the
/// sessions that showed it.
pub(super) async fn revoke(
    _: Backend,
    jti: web::Path<String>,
    payload: web::Payload,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    if jti.len() > JTI_BYTES {
        let message = format!("the jti in the path: expected at most {JTI_BYTES} bytes");
        return Err(Failure::bad_request(message));
    }
    let jti: Arc<str> = jti.into_inner().into();
    let Request { expires_at } = body::read(payload, SMALL_BODY).await?;
    let now = wall_clock();
    // A time that is past is most often one in seconds: to remember a token for
    // too long does no harm.
    let ends = expires_at.filter(|at| *at > now);
    let until = ends.unwrap_or_else(|| services.settings.auth.revoked_until(now));
    let tokens = Tokens::Named(jti.clone());
    services.registry.order(Order::Revoke(Revocation { tokens, until })).await?;
    info!("a backend revoked a token by its jti");
    Ok(HttpResponse::Ok().json(Answer { jti, revoked: true, until }))
}
