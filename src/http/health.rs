use std::{fs, sync::OnceLock};

use actix_web::{HttpResponse, http::header, web};
use serde::Serialize;

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
    let broker = services.broker.health();
    let draining = registry.is_draining();
    Health {
        node: &services.node,
        version: env!("CARGO_PKG_VERSION"),
        ready: broker.ok && services.presence.connected() && !draining && !registry.is_full(),
        draining,
        connections: registry.connections(),
        max_connections: services.settings.server.max_connections,
        fds: Descriptors { open: open_descriptors(), allowed: allowed_descriptors() },
        broker: Broker { kind: broker.kind, ok: broker.ok },
    }
}

/// How many files and sockets the process has open; unknown where the system
/// does not say.
fn open_descriptors() -> Option<u64> {
    const LISTING: &str = "/proc/self/fd";
    // Linux 6.2 and later give their number as the listing's size; to count
    // them one by one costs the more, the more there are.
    let size = fs::metadata(LISTING).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    // The listing itself is one of them.
    fs::read_dir(LISTING).ok().map(|listing| (listing.count() as u64).saturating_sub(1))
}

/// How many it may have open; the start raises that to what it can be.
fn allowed_descriptors() -> Option<u64> {
    static ALLOWED: OnceLock<Option<u64>> = OnceLock::new();
    *ALLOWED.get_or_init(|| rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(soft, _)| soft))
}
