//! The HTTP side: the table of routes, and what each does.

mod api;
mod body;
mod call_id;
mod cors;
mod credentials;
mod entrance;
mod events;
mod failure;
mod guest;
mod health;
mod limits;
mod metrics;
mod origin;
mod pages;
mod peer;
mod posts;
mod schema;
mod socket;
pub mod upgrade;

use std::sync::Arc;

use actix_web::{HttpResponse, http::Method, web};

pub use self::call_id::mark;

use self::failure::Failure;
use crate::session::Services;

/// Whether a request came with a connection that can become a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgradable {
    /// It can.
    Yes,
    /// It came the ordinary way, with a body or without asking for an upgrade.
    No,
}

/// The table of routes.
pub fn routes(
    services: Arc<Services>,
    upgradable: Upgradable,
) -> impl FnOnce(&mut web::ServiceConfig) {
    move |app| {
        let (echo, metrics) = (services.settings.server.echo, services.settings.server.metrics);
        app.app_data(web::Data::from(services)).app_data(upgradable);
        app.route("/ws", web::get().to(socket::member));
        if echo {
            app.route("/ws/echo", web::get().to(socket::echo));
        }
        for (path, methods, route) in [
            ("/events", "GET, OPTIONS", web::get().to(events::listen)),
            ("/api/v1/client/{session}", "POST, OPTIONS", web::post().to(posts::post)),
        ] {
            let preflight = web::method(Method::OPTIONS).to(cors::preflight);
            let other = web::to(async move || Err::<HttpResponse, _>(Failure::method(methods)));
            let resource = web::resource(path).route(route).route(preflight);
            app.service(resource.default_service(other));
        }
        let other_than_post = web::to(async || Err::<HttpResponse, _>(Failure::method("POST")));
        let guest = web::resource("/auth/guest").route(web::post().to(guest::enter));
        app.service(guest.default_service(other_than_post));
        app.service(api::calls());
        app.route("/healthz", web::get().to(health::live));
        app.route("/readyz", web::get().to(health::ready));
        if metrics {
            app.route("/metrics", web::get().to(metrics::show));
        }
        app.default_service(web::to(pages::page));
    }
}
