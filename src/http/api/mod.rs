//! The calls of backends, below `/api/v1`.

mod batch;
mod broadcast;
mod call;
mod disconnect;
mod fields;
mod key;
mod keys;
mod largest;
mod messages;
mod nodes;
mod openapi;
mod people;
mod query;
mod revoke;
mod rooms;
mod sessions;
mod state;
mod trace;
mod writing;

use actix_web::{HttpResponse, Resource, Route, Scope, web};

use self::{
    call::{Body, answer},
    keys::Backend,
};
use super::failure::Failure;
use crate::config::Scope as Key;

/// The table of calls: for each path the methods, what a key needs, and how large
/// the body may be.
pub(super) fn calls() -> Scope {
    let (get, post, put, delete) = (web::get, web::post, web::put, web::delete);
    web::scope("/api/v1")
        .service(call("/rooms", "GET", [answer(get(), Key::Rooms, Body::None, rooms::list)]))
        .service(call(
            "/largest-rooms",
            "GET",
            [answer(get(), Key::Rooms, Body::None, largest::largest)],
        ))
        .service(call(
            "/rooms/{room}/messages",
            "GET, POST",
            [
                answer(get(), Key::History, Body::None, messages::page),
                answer(post(), Key::Publish, Body::Message, messages::publish),
            ],
        ))
        .service(call(
            "/rooms/{room}/presence",
            "GET",
            [answer(get(), Key::Presence, Body::None, people::presence)],
        ))
        .service(call(
            "/rooms/{room}/state",
            "GET",
            [answer(get(), Key::History, Body::None, state::read)],
        ))
        .service(call(
            "/rooms/{room}/state/{key}",
            "PUT, DELETE",
            [
                answer(put(), Key::Set, Body::Message, state::put),
                answer(delete(), Key::Set, Body::Small, state::delete),
            ],
        ))
        .service(call(
            "/broadcast",
            "POST",
            [answer(post(), Key::Publish, Body::ToRooms, broadcast::broadcast)],
        ))
        // Each command asks for its own scope.
        .service(call("/batch", "POST", [answer(post(), None, Body::Messages, batch::batch)]))
        .service(call(
            "/users/{user}",
            "GET",
            [answer(get(), Key::Presence, Body::None, people::user)],
        ))
        .service(call(
            "/users/{user}/sessions",
            "GET",
            [answer(get(), Key::Presence, Body::None, sessions::sessions)],
        ))
        .service(call(
            "/users/{user}/sessions/{session}/disconnect",
            "POST",
            [answer(post(), Key::Disconnect, Body::Small, sessions::disconnect)],
        ))
        .service(call(
            "/users/{user}/messages",
            "POST",
            [answer(post(), Key::Direct, Body::Message, people::direct)],
        ))
        .service(call(
            "/users/{user}/disconnect",
            "POST",
            [answer(post(), Key::Disconnect, Body::Small, disconnect::disconnect)],
        ))
        .service(call(
            "/tokens/{jti}/revoke",
            "POST",
            [answer(post(), Key::Disconnect, Body::Small, revoke::revoke)],
        ))
        .service(call("/key", "GET", [answer(get(), None, Body::None, key::key)]))
        // The key comes with its first message.
        .service(call("/trace", "GET", [get().to(trace::trace)]))
        .service(call("/nodes", "GET", [answer(get(), Key::Cluster, Body::None, nodes::nodes)]))
        .service(call("/stats", "GET", [answer(get(), Key::Cluster, Body::None, nodes::stats)]))
        .service(
            web::resource("/openapi.json")
                .route(get().to(openapi::show))
                .default_service(web::to(async || Err::<HttpResponse, _>(Failure::method("GET")))),
        )
        .default_service(web::to(unknown))
}

/// A path that takes these methods and no others.
fn call(path: &str, methods: &'static str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let other = move |_: Backend| async move { Err::<HttpResponse, _>(Failure::method(methods)) };
    let resource = routes.into_iter().fold(web::resource(path), Resource::route);
    resource.default_service(web::to(other))
}

async fn unknown(_: Backend) -> Result<HttpResponse, Failure> {
    Err(Failure::not_found("there is no such call"))
}
