//! The application put together: the one place that picks a broker.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_server::Server;
use actix_web::rt;
use anyhow::{Context as _, anyhow};
use futures_util::FutureExt;
use log::{error, info, warn};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
};

use crate::{
    auth::Verifier,
    backends::{Backends, Delivery},
    broker::{
        Broker, DeliveryFaults, DeliveryQueues, RevocationStore,
        memory::{DurableBroker, MemoryBroker},
        redis::{RedisBroker, RedisOutbox},
    },
    cluster::{Cluster, Listeners, Whisper},
    config::{Guest, Settings},
    logging,
    metrics::Metrics,
    net::{Certificate, Listener, Place},
    presence::PresenceSupervisor,
    serving,
    session::{Census, Registry, STALL_LIMIT, Services, Workers},
    shedding,
    shutdown::{self, Signals},
    supervision::{InjectedFault, Supervision},
    systemd,
    trace::{self, Traces},
};

pub use crate::shutdown::Handle;

/// How often what is over its time is let go of.
const SWEEP: Duration = Duration::from_secs(5);

/// How often the way from the broker to each worker is probed.
const PROBE: Duration = Duration::from_secs(1);

/// How often the node notes how it is, and tells the others.
const REPORT: Duration = Duration::from_secs(1);

/// How long a node may take to send its clients away that cannot go on.
const FAILED_DRAIN: Duration = Duration::from_secs(5);

/// A node that listens.
pub struct Application {
    services: Arc<Services>,
    places: Vec<Place>,
    server: Server,
    signals: Signals,
    hangup: Signal,
    handle: Handle,
    supervision: Arc<Supervision>,
    /// What is done again and again beside serving.
    chores: Vec<rt::task::JoinHandle<()>>,
    delivery: Delivery,
}

impl Application {
    /// Puts a node together and lets it listen. It has to be called on an actix
    /// system.
    ///
    /// # Errors
    /// What keeps it from starting, in words for people.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        let certificate = Certificate::load(&settings.tls)?.map(Arc::new);
        let patience = settings.heartbeat.patience();
        let (mut listeners, mut places) = (Vec::new(), Vec::new());
        for listen in &settings.server.listen {
            let mode = settings.server.unix_mode;
            let bound = Listener::bind(listen, certificate.is_some(), mode, patience);
            let failed = || format!("server.listen: cannot listen at {listen}");
            let (listener, place) = bound.with_context(failed)?;
            listeners.push(listener);
            places.push(place);
        }

        let node: Arc<str> = settings.server.node.clone().unwrap_or_else(random_name).into();
        let metrics = Arc::new(Metrics::default());
        let supervision = Arc::new(Supervision::new(metrics.clone()));
        let backends = Backends::of(&settings)?;
        let queue = backends.queue.clone();
        let Brokers { broker, sweep, revocations, cluster, outbox } =
            Brokers::of(&settings, &node, &backends, &supervision).await?;
        let limits = (&settings.limits, settings.server.max_connections);
        let registry = Registry::new(limits.0, limits.1, cluster.clone()).keeping(revocations);
        let registry = Arc::new(registry.full_at(settings.shedding.connections));
        let presence = PresenceSupervisor::new(&settings, cluster.clone());
        let traces = Arc::new(Traces::new(node.clone()));
        let presence = presence.telling(queue.clone()).traced(traces.clone()).start();
        let (present, faulty) = (presence.clone(), presence.clone());
        supervision.require("presence", move || present.connected());
        supervision.on_fault("presence", move || faulty.do_send(InjectedFault));
        let census = Census::new(node.clone(), registry.clone(), presence.clone());
        let census = Arc::new(census);
        let mut chores = Vec::new();
        if let Some(cluster) = &cluster {
            cluster.listen(ears(&presence, &registry, &census, &traces));
            let (traces, cluster) = (traces.clone(), cluster.clone());
            let relay = move || trace::relay(traces.clone(), cluster.clone());
            chores.push(supervision.keep("traces", relay));
        }
        let services = Arc::new(Services {
            node,
            verifier: Verifier::new(&settings.auth)?,
            broker,
            cluster,
            presence,
            workers: Workers::default(),
            queues: Arc::new(DeliveryQueues::default()),
            registry: registry.clone(),
            census,
            traces,
            asker: backends.asker.clone(),
            hooks: backends.hooks.clone(),
            metrics,
            certificate,
            settings,
        });
        let faulty = services.clone();
        supervision.on_fault("rooms", move || faulty.workers.inject_fault());
        let sweep = Rc::new(sweep);
        chores.push(supervision.keep("sweep", move || sweep_all(sweep.clone(), registry.clone())));
        let reporting = services.clone();
        chores.push(supervision.keep("report", move || report(reporting.clone())));
        let watching = services.clone();
        chores.push(supervision.keep("shedding", move || watch(watching.clone())));
        let probing = services.clone();
        chores.push(supervision.keep("probes", move || probe_deliveries(probing.clone())));
        if let Some(timeout) = systemd::watchdog_timeout() {
            let fed = services.clone();
            chores.push(supervision.keep("watchdog", move || feed_watchdog(fed.clone(), timeout)));
        }
        Ok(Self {
            server: serving::serve(&services, listeners)?,
            services,
            places,
            signals: Signals::listen()?,
            hangup: signal(SignalKind::hangup())?,
            handle: Handle::new(),
            chores,
            delivery: backends.deliver(outbox, &supervision)?,
            supervision,
        })
    }

    /// The port it listens on; the first of several, 0 where there are only Unix
    /// sockets.
    pub fn port(&self) -> u16 {
        self.places.iter().find_map(Place::port).unwrap_or_default()
    }

    /// What goes wrong in delivery on purpose, for tests.
    #[doc(hidden)]
    pub fn delivery_faults(&self) -> Arc<DeliveryFaults> {
        self.services.queues.faults.clone()
    }

    /// By what it can be asked to stop.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// By which a test has parts of it panic.
    #[doc(hidden)]
    pub fn supervision(&self) -> Arc<Supervision> {
        self.supervision.clone()
    }

    /// Serves until a signal or the [`handle`](Self::handle) asks it to stop;
    /// then drains. Asked twice it stops at once.
    ///
    /// # Errors
    /// What went wrong while it served: also that a part panicked without which it cannot
    /// go on. Its clients are sent away then too.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self {
            services,
            places,
            server,
            signals,
            hangup,
            handle,
            supervision,
            chores,
            delivery,
        } = self;
        let settings = &services.settings;
        let guests = settings.auth.guest == Guest::On && !settings.server.is_loopback_only();
        if guests {
            warn!("auth.guest is on, and others reach this address: anyone may take a name");
        }
        if let Some(certificate) = &services.certificate {
            certificate.tell();
        }
        for place in &places {
            // Not through the logger: whatever its level, this line is to be seen.
            logging::announce(&settings.log, &format!("listening on {place}"));
        }
        systemd::tell(systemd::READY);
        let signals = rt::spawn(signals.pass_on(handle.clone()));
        let (hangup, certificate) = (Rc::new(Mutex::new(hangup)), services.certificate.clone());
        let reloader =
            supervision.keep("certificate", move || reload(hangup.clone(), certificate.clone()));
        let stopper = server.handle();
        let server = rt::spawn(server);
        let failed = tokio::select! {
            () = handle.asked(1) => None,
            part = supervision.failed() => Some(part),
        };
        let mut timeout = settings.server.drain_timeout;
        if let Some(part) = failed {
            error!(
                "{part} ended by a panic, and the node cannot go on without; it is to be started again"
            );
            timeout = timeout.min(FAILED_DRAIN);
        }
        systemd::tell(systemd::STOPPING);
        let deadline = Instant::now() + timeout;
        tokio::select! {
            () = shutdown::drain(&services.registry, timeout) => {
                delivery.finish(&services.presence, deadline).await;
                stopper.stop(true).await;
                info!("drained");
            }
            () = handle.asked(if failed.is_some() { 1 } else { 2 }) => {
                warn!("asked twice: stopping at once");
                stopper.stop(false).await;
            }
        }
        if let Some(cluster) = &services.cluster {
            cluster.leave();
        }
        drop(delivery);
        chores.iter().chain([&signals, &reloader]).for_each(rt::task::JoinHandle::abort);
        server.await.context("the server's task ended by a panic")??;
        match failed {
            Some(part) => Err(anyhow!("{part} ended by a panic")),
            None => Ok(()),
        }
    }
}

/// Reads the certificate again with each SIGHUP.
async fn reload(hangup: Rc<Mutex<Signal>>, certificate: Option<Arc<Certificate>>) {
    let mut hangup = hangup.lock().await;
    while hangup.recv().await.is_some() {
        match certificate.as_ref().map(|certificate| (certificate, certificate.reload())) {
            Some((certificate, Ok(()))) => {
                info!("read the certificate again");
                certificate.tell();
            }
            Some((_, Err(error))) => error!("the certificate stays as it was: {error}"),
            None => info!("SIGHUP: there is no certificate to be read again"),
        }
    }
}

/// Lets go of what is over its time.
async fn sweep_all(sweep: Rc<Option<Box<dyn Fn()>>>, registry: Arc<Registry>) {
    let mut tick = rt::time::interval(SWEEP);
    loop {
        tick.tick().await;
        if let Some(sweep) = &*sweep {
            sweep();
        }
        registry.sweep(Instant::now()).await;
    }
}

/// Notes how the node is, and tells the others. What does not arrive is followed by
/// what is newer.
async fn report(services: Arc<Services>) {
    let mut tick = rt::time::interval(REPORT);
    loop {
        tick.tick().await;
        services.sample(Instant::now());
        if let Some(cluster) = &services.cluster {
            let _ = cluster.report(services.report().await).await;
        }
    }
}

/// Probes the way from the broker to every worker.
async fn probe_deliveries(services: Arc<Services>) {
    let mut tick = rt::time::interval(PROBE);
    loop {
        services.queues.probe(tick.tick().await.into());
    }
}

/// Tells systemd that the node works, for as long as all workers do. That this thread runs
/// shows by itself.
async fn feed_watchdog(services: Arc<Services>, timeout: Duration) {
    let mut tick = rt::time::interval(timeout / 3);
    loop {
        tick.tick().await;
        match services.stall(STALL_LIMIT) {
            None => systemd::tell(systemd::WATCHDOG),
            Some(problem) => error!("the watchdog of systemd is not fed: {problem}"),
        }
    }
}

/// Looks whether the node is near its limits.
async fn watch(services: Arc<Services>) {
    let Services { registry, metrics, settings, .. } = &*services;
    let judge = shedding::Judge::new(&settings.shedding);
    let look = |now| (registry.connections(), metrics.workers.take_worst_delay(now));
    shedding::watch(judge, registry.shedding(), look).await;
}

/// What the settings make of the broker.
struct Brokers {
    broker: Arc<dyn Broker>,
    /// Lets it let go of what is over its time; a server of its own does so itself.
    sweep: Option<Box<dyn Fn()>>,
    /// Where revocations outlive the node, where no cluster knows them.
    revocations: Option<Arc<dyn RevocationStore>>,
    /// The way to the other nodes, where there are any.
    cluster: Option<Arc<dyn Cluster>>,
    /// Where the events of all of them wait for backends.
    outbox: Option<Arc<RedisOutbox>>,
}

impl Brokers {
    async fn of(
        settings: &Settings,
        node: &Arc<str>,
        backends: &Backends,
        supervision: &Supervision,
    ) -> anyhow::Result<Self> {
        if settings.broker.url.is_none() {
            let Settings { broker, rooms, inbox, .. } = settings;
            let path = broker.path.as_deref();
            let memory = MemoryBroker::new(broker, rooms, inbox).telling(backends.queue.clone());
            let Some(path) = path else {
                let memory = Arc::new(memory);
                return Ok(Self::alone(memory.clone(), move || memory.sweep()));
            };
            let durable = Arc::new(DurableBroker::open(memory, path)?);
            let (written, faulty) = (durable.clone(), durable.clone());
            supervision.require("store", move || written.is_writing());
            supervision.on_fault("store", move || faulty.inject_fault());
            let swept = durable.clone();
            let alone = Self::alone(durable.clone(), move || swept.sweep());
            return Ok(Self { revocations: Some(durable), ..alone });
        }
        let redis = RedisBroker::connect(settings, node.clone(), backends.hooks.clone()).await;
        let redis = Arc::new(redis.map_err(anyhow::Error::msg)?);
        let (bridged, faulty) = (redis.clone(), redis.clone());
        supervision.require("bridge", move || bridged.is_bridged());
        supervision.on_fault("bridge", move || faulty.inject_fault());
        let outbox = redis.outbox();
        let broker = redis.clone();
        Ok(Self { broker, sweep: None, revocations: None, cluster: Some(redis), outbox })
    }

    /// Of a node without others.
    fn alone(broker: Arc<dyn Broker>, sweep: impl Fn() + 'static) -> Self {
        let sweep: Box<dyn Fn()> = Box::new(sweep);
        Self { broker, sweep: Some(sweep), revocations: None, cluster: None, outbox: None }
    }
}

/// To whom goes what other nodes say. The registry holds the cluster, and not
/// the other way round.
fn ears(
    presence: &Addr<PresenceSupervisor>,
    registry: &Arc<Registry>,
    census: &Arc<Census>,
    traces: &Arc<Traces>,
) -> Listeners {
    let (obeying, counting) = (Arc::downgrade(registry), Arc::downgrade(registry));
    let [posting, ending, remembering] = [(); 3].map(|()| Arc::downgrade(registry));
    let (census, traces) = (Arc::downgrade(census), traces.clone());
    Listeners {
        presence: presence.clone().recipient(),
        orders: Box::new(move |order| {
            if let Some(registry) = obeying.upgrade() {
                registry.apply(&order);
            }
        }),
        missed: Box::new(move || {
            if let Some(registry) = ending.upgrade() {
                shutdown::send_away(&registry);
            }
        }),
        revocations: Box::new(move || {
            remembering.upgrade().map(|registry| registry.revocations()).unwrap_or_default()
        }),
        posts: Box::new(move |session, messages| posting.upgrade()?.post_here(session, messages)),
        whispers: Box::new(move |whisper| match whisper {
            Whisper::WhoHas { ticket, user } => {
                Some(census.upgrade()?.asked_for(ticket, user)?.boxed())
            }
            Whisper::Has { ticket, node, connections } => {
                census.upgrade()?.answered(ticket, node, connections);
                None
            }
            whisper @ (Whisper::Wishes { .. } | Whisper::Happened { .. }) => {
                traces.hear(whisper, Instant::now());
                None
            }
        }),
        open: Box::new(move || {
            counting.upgrade().map(|registry| registry.open_by_user()).unwrap_or_default()
        }),
    }
}

/// A name for a node that was given none.
fn random_name() -> String {
    format!("node-{:08x}", getrandom::u32().unwrap_or_default())
}
