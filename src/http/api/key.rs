use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use crate::{
    config::Scope,
    http::{failure::Failure, schema::Refusals},
    model::Pattern,
};

/// What the key that was shown may do.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyShown {
    /// What it is called in the log; null for one of `api.keys`, which have no names.
    #[schema(required = true)]
    name: Option<String>,
    /// Its scopes.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// The rooms it is for, as patterns; null where it is for all.
    #[schema(value_type = Option<Vec<String>>, required = true)]
    rooms: Option<Vec<Pattern>>,
}

/// See what the key may do.
///
/// Takes any key.
#[utoipa::path(
    get, path = "/api/v1/key", tag = "cluster", operation_id = "key",
    responses(
        (status = 200, description = "What the key may do", body = KeyShown,
            example = json!({"name": "billing", "scopes": ["publish"], "rooms": ["billing:*"]})),
        Refusals,
    ),
)]
pub(super) async fn key(call: Call) -> Result<KeyShown, Failure> {
    let limited = call.backend.limited();
    Ok(KeyShown {
        name: limited.map(|key| key.name.clone()),
        scopes: limited.map_or_else(|| Scope::ALL.to_vec(), |key| key.scopes.clone()),
        rooms: limited.and_then(|key| key.rooms.clone()),
    })
}
