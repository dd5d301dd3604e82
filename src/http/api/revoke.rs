use std::sync::Arc;

use log::info;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    call::Call,
    fields::{Count, bad, check_short},
};
use crate::{
    cluster::{Order, Revocation, Tokens},
    http::{
        failure::Failure,
        schema::{self, WriteRefusals},
    },
    model::Timestamp,
};

/// The longest `jti` that can be revoked.
const JTI_CHARACTERS: usize = 1024;

/// How long a token is refused.
#[derive(Deserialize, ToSchema)]
pub(super) struct Revoke {
    /// When the token ends by itself, in milliseconds. Without it, or with a time
    /// that is past, `auth.revoke_for` holds.
    #[schema(schema_with = schema::nullable_count)]
    expires_at: Option<Count>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Revoked {
    #[schema(value_type = String)]
    jti: Arc<str>,
    revoked: bool,
    /// How long that is remembered.
    #[schema(schema_with = schema::count)]
    until: Timestamp,
}

/// Revoke a token.
///
/// Refuses one token, named by its `jti`, from now on, and closes the sessions
/// that showed it with 1008 `token_revoked`.
#[utoipa::path(
    post, path = "/api/v1/tokens/{jti}/revoke", tag = "users", operation_id = "revoke",
    params(("jti" = schema::TokenId, Path, description = "The token's `jti`")),
    request_body(content = Option<Revoke>, example = json!({"expires_at": 1_767_225_600_000_u64})),
    responses(
        (status = 200, description = "All nodes were told", body = Revoked,
            example = json!({"jti": "t-1", "revoked": true, "until": 1_767_225_600_000_u64})),
        WriteRefusals,
    ),
)]
pub(super) async fn revoke(call: Call) -> Result<Revoked, Failure> {
    let jti = call.path().jti.as_str();
    check_short(jti, JTI_CHARACTERS)
        .map_err(|error| bad(format!("the jti in the path: {error}")))?;
    let jti: Arc<str> = jti.into();
    let Revoke { expires_at } = call.read()?;
    let services = call.services();
    let now = services.registry.clock().await?;
    // A time that is past is most often one in seconds: to remember a token for
    // too long does no harm.
    let ends = expires_at.map(|Count(at)| at).filter(|at| *at > now);
    let until = ends.unwrap_or_else(|| services.settings.auth.revoked_until(now));
    let tokens = Tokens::Named(jti.clone());
    services.registry.order(Order::Revoke(Revocation { tokens, until })).await?;
    info!("{} revoked a token by its jti", call.backend.name());
    Ok(Revoked { jti, revoked: true, until })
}
