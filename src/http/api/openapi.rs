use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header};
use log::error;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    batch, broadcast, disconnect, key, largest, messages, nodes, people, revoke, rooms, sessions,
    state, trace,
};
use crate::http::{events, failure::Told, guest, health, metrics, posts, schema, socket};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rookery",
        description = "The HTTP calls of a Rookery server. Those below `/api/v1` are for backends: \
            each carries a key of `[api]` as a bearer token. Errors have one form, \
            `{\"error\": {\"code\", \"message\"}}`; a method that a path does not take is 405 \
            with `Allow`. Fields that are not known are ignored.",
    ),
    paths(
        messages::publish, messages::page, broadcast::broadcast, batch::batch, people::presence,
        rooms::list, state::read, state::put, state::delete, people::user, people::direct,
        sessions::sessions, sessions::disconnect, largest::largest, key::key, trace::trace,
        disconnect::disconnect, revoke::revoke, nodes::nodes, nodes::stats, show,
        guest::enter, health::live, health::ready, metrics::show, socket::member, events::listen,
        posts::post,
    ),
    components(schemas(
        Told, schema::Room, schema::User, schema::Key, schema::TokenId, schema::Session, schema::Number,
        schema::Cursor, schema::RoomPattern, schema::Message, schema::Write,
        super::writing::Published, super::writing::Kept, super::writing::Delivered,
    )),
    modifiers(&Keys),
    security(("api_key" = [])),
    tags(
        (name = "rooms", description = "Messages, logs and presence; scopes `publish`, `history`, \
            `presence` and `rooms`"),
        (name = "state", description = "The shared state of rooms; scopes `set` and `history`"),
        (name = "batch", description = "Several things at once; the scope of each"),
        (name = "users", description = "Users and their tokens; scopes `presence`, `direct` and \
            `disconnect`"),
        (name = "cluster", description = "Nodes, figures, keys and traces; scopes `cluster` and `trace`"),
        (name = "open", description = "What needs no key"),
    ),
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |description: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(scheme.description(Some(description)).build())
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", bearer("One of `api.keys` or `[[api.key]]`"));
        components.add_security_scheme("token", bearer("A user's JSON Web Token"));
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "open", operation_id = "openapi", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
)]
pub(super) async fn show() -> HttpResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        Document::openapi().to_pretty_json().unwrap_or_else(|error| {
            error!("this is a bug: the API's description could not be written: {error}");
            "{}".to_owned()
        })
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(DOCUMENT.as_str())
}
