use std::{
    sync::atomic::AtomicU64,
    time::{Duration, Instant, UNIX_EPOCH},
};

use actix_web::{HttpResponse, http::header, web};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::Registry,
};

use super::failure::Told;
use crate::{
    metrics::LANES,
    model::RoomName,
    presence::{Largest, Survey},
    process,
    room::Surveyed,
    session::Services,
    shedding::Cause,
};

/// How long presence may take to say what it has; what it does not say is left
/// out.
const PATIENCE: Duration = Duration::from_millis(500);

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
    let seen = Seen::look(&services).await;
    let mut registry = Registry::default();
    register_process(&mut registry);
    let own = registry.sub_registry_with_prefix("rookery");
    let broker = services.broker.health();
    register_node(&services, broker.ok, own);
    services.metrics.register(own);
    seen.register(own);
    register_certificate(&services, own);
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
    if let Some(worked) = process::processor_time() {
        let help = "Time that processors worked for the process";
        to.register("process_cpu_seconds", help, ConstCounter::new(worked.as_secs_f64()));
    }
    if let Some(began) = process::began().and_then(|it| it.duration_since(UNIX_EPOCH).ok()) {
        let help = "When the process began, since the Unix epoch";
        to.register("process_start_time_seconds", help, ConstGauge::new(began.as_secs_f64()));
    }
}

/// What is not counted, but looked at when it is asked for.
struct Seen {
    workers: Surveyed,
    /// Users and rooms.
    presence: Option<(usize, usize)>,
    /// The rooms with most members, where these are to be shown.
    largest: Vec<(RoomName, usize)>,
}

impl Seen {
    async fn look(services: &Services) -> Self {
        let top = services.settings.metrics.top_rooms;
        let largest = async {
            match top {
                0 => Vec::new(),
                top => {
                    let largest = services.presence.send(Largest(top)).timeout(PATIENCE).await;
                    largest.unwrap_or_default()
                }
            }
        };
        let presence = async { services.presence.send(Survey).timeout(PATIENCE).await.ok() };
        let (workers, presence, largest) =
            tokio::join!(services.workers.survey(), presence, largest);
        Self { workers, presence, largest }
    }

    fn register(self, to: &mut Registry) {
        let Surveyed { memberships, blocked, waiting } = self.workers;
        let (users, rooms) = self.presence.unzip();
        let gauges = [
            ("connections_blocked", "Connections whose socket takes no more", Some(blocked)),
            ("memberships", "Members of rooms, each room counted", Some(memberships)),
            ("presence_users", "Users with connections to this node", users),
            ("presence_rooms", "Rooms with members of this node", rooms),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                to.register(name, help, ConstGauge::new(value));
            }
        }
        let (messages, bytes) = (Labelled::default(), Labelled::default());
        for (lane, waits) in LANES.into_iter().zip(waiting) {
            set(&messages, "lane", lane, waits.0);
            set(&bytes, "lane", lane, waits.1);
        }
        to.register("lane_messages", "Messages that wait for clients, by lane", messages);
        to.register("lane_bytes", "Bytes that wait for clients, by lane", bytes);
        if !self.largest.is_empty() {
            let members = Labelled::default();
            for (room, users) in self.largest {
                set(&members, "room", room.as_str(), users as u64);
            }
            to.register("room_members", "Users in the rooms that have most of them", members);
        }
    }
}

type Labelled = Family<[(&'static str, String); 1], Gauge<u64, AtomicU64>>;

fn set(family: &Labelled, label: &'static str, value: &str, to: u64) {
    family.get_or_create(&[(label, value.to_owned())]).set(to);
}

fn register_node(services: &Services, broker: bool, to: &mut Registry) {
    let name = services.node.to_string();
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("node", name)];
    to.register("build", "The version that runs, and the node's name", Info::new(labels));
    let registry = &services.registry;
    let sheds = Labelled::default();
    for cause in Cause::ALL {
        set(&sheds, "cause", cause.word(), u64::from(registry.shedding().is_for(cause)));
    }
    to.register("shedding", "Whether the node takes nothing new, by cause", sheds);
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
    let (loops, probes) = (Seconds::default(), Seconds::default());
    for worker in services.worker_health(Instant::now()) {
        let label = [("worker", worker.name.to_string())];
        loops.get_or_create(&label).set(worker.event_loop_delay.as_secs_f64());
        probes.get_or_create(&label).set(worker.delivery_delay.as_secs_f64());
    }
    let help = "How long the worker's event loop has been overdue to turn";
    to.register("event_loop_stalled_seconds", help, loops);
    let help = "Age of the probe that the worker has not taken from its delivery queue";
    to.register("delivery_probe_age_seconds", help, probes);
}

type Seconds = Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>;

fn register_certificate(services: &Services, to: &mut Registry) {
    if let Some(certificate) = &services.certificate {
        let name = "tls_certificate_expiry_timestamp_seconds";
        to.register(name, "When the certificate ends", ConstGauge::new(certificate.expiry()));
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
