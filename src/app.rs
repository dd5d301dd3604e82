//! The application put together: the one place that picks a broker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_server::Server;
use actix_web::rt;
use anyhow::Context as _;
use futures_util::FutureExt;
use log::{error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    auth::Verifier,
    backends::{Backends, Delivery},
    broker::{
        Broker, RevocationStore,
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
    session::{Census, Registry, Services, Workers},
    shedding,
    shutdown::{self, Signals},
    systemd,
    trace::{self, Traces},
};

pub use crate::shutdown::Handle;

/// How often what is over its time is let go of.
const SWEEP: Duration = Duration::from_secs(5);

/// How often the node notes how it is, and tells the others.
const REPORT: Duration = Duration::from_secs(1);

/// A node that listens.
pub struct Application {
    services: Arc<Services>,
    places: Vec<Place>,
    server: Server,
    signals: Signals,
    hangup: Signal,
    handle: Handle,
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
        let backends = Backends::of(&settings)?;
        let queue = backends.queue.clone();
        let Brokers { broker, sweep, revocations, cluster, outbox } =
            Brokers::of(&settings, &node, &backends).await?;
        let limits = (&settings.limits, settings.server.max_connections);
        let registry = Registry::new(limits.0, limits.1, cluster.clone()).keeping(revocations);
        let registry = Arc::new(registry.full_at(settings.shedding.connections));
        let presence = PresenceSupervisor::new(&settings, cluster.clone());
        let traces = Arc::new(Traces::new(node.clone()));
        let presence = presence.telling(queue.clone()).traced(traces.clone()).start();
        let census = Census::new(node.clone(), registry.clone(), presence.clone());
        let census = Arc::new(census);
        let mut chores = Vec::new();
        if let Some(cluster) = &cluster {
            cluster.listen(ears(&presence, &registry, &census, &traces));
            chores.push(rt::spawn(trace::relay(traces.clone(), cluster.clone())));
        }
        let services = Arc::new(Services {
            node,
            verifier: Verifier::new(&settings.auth)?,
            broker,
            cluster,
            presence,
            workers: Workers::default(),
            registry: registry.clone(),
            census,
            traces,
            asker: backends.asker.clone(),
            hooks: backends.hooks.clone(),
            metrics: Arc::new(Metrics::default()),
            certificate,
            settings,
        });
        chores.push(rt::spawn(async move {
            let mut tick = rt::time::interval(SWEEP);
            loop {
                tick.tick().await;
                if let Some(sweep) = &sweep {
                    sweep();
                }
                registry.sweep(Instant::now()).await;
            }
        }));
        chores.push(rt::spawn(report(services.clone())));
        chores.push(rt::spawn(watch(services.clone())));
        Ok(Self {
            server: serving::serve(&services, listeners)?,
            services,
            places,
            signals: Signals::listen()?,
            hangup: signal(SignalKind::hangup())?,
            handle: Handle::new(),
            chores,
            delivery: backends.deliver(outbox)?,
        })
    }

    /// The port it listens on; the first of several, 0 where there are only Unix
    /// sockets.
    pub fn port(&self) -> u16 {
        self.places.iter().find_map(Place::port).unwrap_or_default()
    }

    /// By what it can be asked to stop.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until a signal or the [`handle`](Self::handle) asks it to stop;
    /// then drains. Asked twice it stops at once.
    ///
    /// # Errors
    /// What went wrong while it served.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self { services, places, server, signals, hangup, handle, chores, delivery } = self;
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
        let reloader = rt::spawn(reload(hangup, services.certificate.clone()));
        let stopper = server.handle();
        let server = rt::spawn(server);
        handle.asked(1).await;
        systemd::tell(systemd::STOPPING);
        let deadline = Instant::now() + settings.server.drain_timeout;
        tokio::select! {
            () = shutdown::drain(&services.registry, settings.server.drain_timeout) => {
                delivery.finish(&services.presence, deadline).await;
                stopper.stop(true).await;
                info!("drained");
            }
            () = handle.asked(2) => {
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
        Ok(())
    }
}

/// Reads the certificate again with each SIGHUP.
async fn reload(mut hangup: Signal, certificate: Option<Arc<Certificate>>) {
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
    async fn of(settings: &Settings, node: &Arc<str>, backends: &Backends) -> anyhow::Result<Self> {
        if settings.broker.url.is_none() {
            let Settings { broker, rooms, inbox, .. } = settings;
            let path = broker.path.as_deref();
            let memory = MemoryBroker::new(broker, rooms, inbox).telling(backends.queue.clone());
            let Some(path) = path else {
                let memory = Arc::new(memory);
                return Ok(Self::alone(memory.clone(), move || memory.sweep()));
            };
            let durable = Arc::new(DurableBroker::open(memory, path)?);
            let swept = durable.clone();
            let alone = Self::alone(durable.clone(), move || swept.sweep());
            return Ok(Self { revocations: Some(durable), ..alone });
        }
        let redis = RedisBroker::connect(settings, node.clone(), backends.hooks.clone()).await;
        let redis = Arc::new(redis.map_err(anyhow::Error::msg)?);
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
