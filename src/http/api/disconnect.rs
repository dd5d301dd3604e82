use std::time::Duration;

use actix_web::rt::time::sleep;
use log::info;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::Call;
use crate::{
    cluster::Order,
    http::{
        failure::Failure,
        schema::{self, WriteRefusals},
    },
    model::{Timestamp, UserId},
};

/// So much of a reason is written to the log.
const REASON_CHARACTERS: usize = 200;

/// How a user is sent away.
#[derive(Deserialize, ToSchema)]
pub(super) struct Disconnect {
    /// For the server's log alone.
    reason: Option<String>,
    /// Whether the user's tokens are refused from now on.
    revoke: Option<bool>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    #[schema(schema_with = schema::user)]
    user: UserId,
    revoked: bool,
}

/// Disconnect a user.
///
/// Closes every session of the user, on every node, with 1008 `kicked`. With
/// `revoke`, the user's tokens issued up to now are refused, and the sessions are
/// closed with `token_revoked`; the answer comes when the second is over.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/disconnect", tag = "users", operation_id = "disconnect",
    params(("user" = schema::User, Path, description = "The user")),
    request_body(content = Option<Disconnect>,
        example = json!({"reason": "left the company", "revoke": true})),
    responses(
        (status = 200, description = "All nodes were told", body = Disconnected,
            example = json!({"user": "alice", "revoked": true})),
        WriteRefusals,
    ),
)]
pub(super) async fn disconnect(call: Call) -> Result<Disconnected, Failure> {
    let user = call.user()?;
    let Disconnect { reason, revoke } = call.read()?;
    let revoked = revoke.unwrap_or(false);
    let reason = short_reason(reason);
    let by = call.backend.name();
    info!("{by} disconnects {user}, tokens revoked: {revoked}, reason: {reason:?}");
    let services = call.services();
    if revoked {
        let (revocation, now) = services.revocation_of(&user).await?;
        services.registry.order(Order::Revoke(revocation)).await?;
        services.registry.order(Order::Disconnect { user: user.clone() }).await?;
        sleep(left_of_the_second(now)).await;
    } else {
        services.registry.order(Order::Disconnect { user: user.clone() }).await?;
    }
    Ok(Disconnected { user, revoked })
}

/// So much of a reason as is written to the log.
pub(super) fn short_reason(reason: Option<String>) -> String {
    reason.unwrap_or_default().chars().take(REASON_CHARACTERS).collect()
}

/// The `iat` of most tokens is in whole seconds, so that those of the second of
/// the revocation count as made before it. The answer waits until none can be
/// made any more that would be taken for one of those.
fn left_of_the_second(now: Timestamp) -> Duration {
    Duration::from_millis(1_000 - now % 1_000)
}
