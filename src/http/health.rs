use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{process, session::Services, shedding::Cause};

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health<'a> {
    #[schema(value_type = String)]
    node: &'a str,
    version: &'static str,
    /// Whether a load balancer should send clients here.
    ready: bool,
    draining: bool,
    /// What the node has too much of, and so takes nothing new: `connections`,
    /// `open_files`, `memory`, `worker_delay`.
    shedding: Vec<&'static str>,
    connections: usize,
    max_connections: usize,
    fds: Descriptors,
    broker: Broker,
}

/// File descriptors; null where the system does not tell.
#[derive(Serialize, ToSchema)]
struct Descriptors {
    open: Option<u64>,
    allowed: Option<u64>,
}

/// The broker, and whether it can be used.
#[derive(Serialize, ToSchema)]
#[schema(as = BrokerHealth)]
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
#[utoipa::path(
    get, path = "/healthz", tag = "open", operation_id = "healthz", security(()),
    responses((status = 200, description = "It does", body = Health)),
)]
pub(super) async fn live(services: web::Data<Services>) -> HttpResponse {
    answer(&health(&services), true)
}

/// `GET /readyz`: whether the node takes new clients.
#[utoipa::path(
    get, path = "/readyz", tag = "open", operation_id = "readyz", security(()),
    responses(
        (status = 200, description = "It does", body = Health),
        (status = 503, description = "It does not: it drains, sheds load, or has no broker", body = Health),
    ),
)]
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
        ready: services.is_ready(broker.ok),
        draining: registry.is_draining(),
        shedding: registry.shedding().causes().map(Cause::word).collect(),
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
