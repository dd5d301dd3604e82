use actix_web::{HttpResponse, http::header, web};
use prometheus_client::{
    encoding::text,
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::Registry,
};

use super::{failure::Told, process};
use crate::session::Services;

/// What Prometheus asks for first, and understands since version 2.5.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`: what is counted, and how the node is now.
#[utoipa::path(
    get, path = "/metrics", tag = "open", operation_id = "metrics", security(()),
    responses(
        (status = 200, description = "OpenMetrics text", body = String,
            content_type = "application/openmetrics-text"),
        (status = 404, description = "`server.metrics` is off", body = Told),
    ),
)]
pub(super) async fn show(services: web::Data<Services>) -> HttpResponse {
    let mut registry = Registry::default();
    register_process(&mut registry);
    let own = registry.sub_registry_with_prefix("rookery");
    let broker = services.broker.health();
    register_node(&services, broker.ok, own);
    services.metrics.register(own);
    if let Some(hooks) = &services.hooks {
        hooks.register(own.sub_registry_with_prefix("webhooks"));
    }
    if let Some(asker) = &services.asker {
        asker.figures().register(own);
    }
    let of_broker = own.sub_registry_with_prefix("broker");
    register_broker(&services, broker.kind, broker.ok, of_broker);
    let mut shown = String::new();
    if text::encode(&mut shown, &registry).is_err() {
        return HttpResponse::InternalServerError().finish();
    }
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, CONTENT_TYPE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(shown)
}

/// By the names that all exporters give these.
fn register_process(to: &mut Registry) {
    let values = [
        ("process_open_fds", "Open file descriptors", process::open_descriptors()),
        ("process_max_fds", "File descriptors allowed", process::allowed_descriptors()),
        ("process_resident_memory_bytes", "Resident memory", process::resident_bytes()),
    ];
    for (name, help, value) in values {
        if let Some(value) = value {
            // The limit may be "none", which is the largest number there is.
            to.register(name, help, ConstGauge::new(value as f64));
        }
    }
}

fn register_node(services: &Services, broker: bool, to: &mut Registry) {
    let name = services.node.to_string();
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("node", name)];
    to.register("build", "The version that runs, and the node's name", Info::new(labels));
    let registry = &services.registry;
    let ready = services.is_ready(broker);
    let gauges = [
        ("ready", "Whether the node takes new clients", usize::from(ready)),
        ("draining", "Whether the node is stopping", usize::from(registry.is_draining())),
        ("connections", "Connections open now", registry.connections()),
        (
            "connections_limit",
            "Connections the node takes at most",
            services.settings.server.max_connections,
        ),
    ];
    for (name, help, value) in gauges {
        to.register(name, help, ConstGauge::new(value));
    }
}

fn register_broker(services: &Services, kind: &'static str, ok: bool, to: &mut Registry) {
    let up = Family::<[(&str, &str); 1], Gauge>::default();
    up.get_or_create(&[("kind", kind)]).set(i64::from(ok));
    to.register("up", "Whether the broker can be used", up);
    if let Some(figures) = services.broker.figures() {
        figures.register(to);
    }
}
