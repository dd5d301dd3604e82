use std::{sync::Arc, time::Instant};

use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    process,
    session::{DEAD_LIMIT, STALL_LIMIT, Services},
    shedding::Cause,
};

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
    workers: Vec<Worker>,
}

/// A worker thread.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkerHealth)]
struct Worker {
    #[schema(value_type = String)]
    name: Arc<str>,
    ok: bool,
    /// Why it is not ok: its event loop stands still, or it takes no live messages.
    problem: Option<String>,
    /// How long its event loop has been overdue to turn.
    event_loop_delay_ms: u64,
    /// How long a probe has waited for the worker to take it.
    delivery_delay_ms: u64,
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
    responses(
        (status = 200, description = "It does", body = Health),
        (status = 503, description = "A worker has stood still for 30 s: restart the process", body = Health),
    ),
)]
pub(super) async fn live(services: web::Data<Services>) -> HttpResponse {
    answer(&health(&services), services.stall(DEAD_LIMIT).is_none())
}

/// `GET /readyz`: whether the node takes new clients.
#[utoipa::path(
    get, path = "/readyz", tag = "open", operation_id = "readyz", security(()),
    responses(
        (status = 200, description = "It does", body = Health),
        (status = 503, description = "It does not: it drains, sheds load, has no broker, or a worker stands still", body = Health),
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
        workers: workers(services),
    }
}

fn workers(services: &Services) -> Vec<Worker> {
    let millis = |delay: std::time::Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let workers = services.worker_health(Instant::now()).into_iter().map(|worker| {
        let problem = worker.problem(STALL_LIMIT);
        Worker {
            ok: problem.is_none(),
            problem,
            event_loop_delay_ms: millis(worker.event_loop_delay),
            delivery_delay_ms: millis(worker.delivery_delay),
            name: worker.name,
        }
    });
    workers.collect()
}
