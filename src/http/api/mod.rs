//! The calls of backends, below `/api/v1`.

mod disconnect;
mod keys;
mod revoke;

use actix_web::{HttpResponse, Resource, Route, Scope, web};

use self::keys::Backend;
use super::failure::Failure;

/// Bodies of calls that say little.
const SMALL_BODY: usize = 4096;

/// The table of calls.
pub(super) fn calls() -> Scope {
    web::scope("/api/v1")
        .service(call("/users/{user}/disconnect", "POST", web::post().to(disconnect::disconnect)))
        .service(call("/tokens/{jti}/revoke", "POST", web::post().to(revoke::revoke)))
        .default_service(web::to(unknown))
}

/// A path that takes these methods and no others.
fn call(path: &str, methods: &'static str, route: Route) -> Resource {
    let other = move |_: Backend| async move { Err::<HttpResponse, _>(Failure::method(methods)) };
    web::resource(path).route(route).default_service(web::to(other))
}

async fn unknown(_: Backend) -> Result<HttpResponse, Failure> {
    Err(Failure::not_found("there is no such call"))
}
