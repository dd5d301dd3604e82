use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;

use super::process;
use crate::session::Services;

#[derive(Serialize)]
struct Health<'a> {
    node: &'a str,
    version: &'static str,
    /// Whether a load balancer should send clients here.
    ready: bool,
    draining: bool,
    connections: usize,
    max_connections: usize,
    fds: Descriptors,
    broker: Broker,
}

#[derive(Serialize)]
struct Descriptors {
    open: Option<u64>,
    allowed: Option<u64>,
}

#[derive(Serialize)]
struct Broker {
    kind: &'static str,
    ok: bool,
    /// Why it cannot be used.
    problem: Option<&'static str>,
    /// How long this node's last word to itself took.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_lag_ms: Option<f64>,
    /// How many nodes there are, this one among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
}

/// `GET /healthz`: whether the process works.
pub(super) async fn live(services: web::Data<Services>) -> HttpResponse {
    answer(&health(&services), true)
}

/// `GET /readyz`: whether the node takes new clients.
pub(super) async fn ready(services: web::Data<Services>) -> HttpResponse {
    let health = health(&services);
    answer(&health, health.ready)
}

fn answer(health: &Health<'_>, good: bool) -> HttpResponse {
    let mut response = if good { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(health)
}

fn health(services: &Services) -> Health<'_> {
    let registry = &services.registry;
    let (broker, figures) = (services.broker.health(), services.broker.figures());
    Health {
        node: &services.node,
        version: env!("CARGO_PKG_VERSION"),
        ready: is_ready(services, broker.ok),
        draining: registry.is_draining(),
        connections: registry.connections(),
        max_connections: services.settings.server.max_connections,
        fds: Descriptors {
            open: process::open_descriptors(),
            allowed: process::allowed_descriptors(),
        },
        broker: Broker {
            kind: broker.kind,
            ok: broker.ok,
            problem: broker.problem,
            probe_lag_ms: figures.as_ref().map(|it| it.probe_lag.as_micros() as f64 / 1000.0),
            nodes: figures.as_ref().map(|it| it.nodes),
        },
    }
}

/// Whether the node takes new clients, with a broker that works or does not.
pub(super) fn is_ready(services: &Services, broker: bool) -> bool {
    let registry = &services.registry;
    broker && services.presence.connected() && !registry.is_draining() && !registry.is_full()
}
