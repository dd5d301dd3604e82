use std::{
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rookery::{
    app::{Application, Handle},
    broker::DeliveryFaults,
    config::Settings,
    supervision::Supervision,
};
use tokio::sync::oneshot;

use super::{Certificates, Endpoint, SECRET, Way, patiently, repairs::faulty_repairs};

/// The settings of every test, unless its own text names the key.
const BASE: [(&str, &str); 4] = [
    ("server.listen", "\"127.0.0.1:0\""),
    // Two, so that members of one room stand on different workers.
    ("server.workers", "2"),
    ("server.drain_timeout", "\"1s\""),
    // A machine that tests keep busy is no reason to refuse them.
    ("shedding.worker_delay", "\"0s\""),
];

/// A server inside the test, on a port of its own, gone when the test ends.
pub struct TestApp {
    endpoint: Endpoint,
    handle: Handle,
    faults: Arc<DeliveryFaults>,
    /// Weak: what it looks after is gone when the server has ended.
    supervision: Weak<Supervision>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    redis: bool,
    may_repair: AtomicBool,
}

impl TestApp {
    /// Starts a server with these settings, written as dotted keys
    /// (`presence.grace = "1s"`), and waits until it listens.
    pub async fn spawn(settings: &str) -> Self {
        Self::spawn_at(Way::Plain, settings).await
    }

    /// The same, spoken to over TLS.
    pub async fn spawn_tls(certificates: &Certificates, settings: &str) -> Self {
        let settings = format!("{}{settings}", certificates.settings());
        Self::spawn_at(certificates.way(), &settings).await
    }

    /// The same, spoken to in this way.
    pub async fn spawn_at(way: Way, settings: &str) -> Self {
        let mut text = String::new();
        for (key, value) in BASE {
            if !settings.contains(key) {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        text.push_str(settings);
        text.push_str(&format!("\nauth.secret = {SECRET:?}\n"));

        let redis = text.contains("broker.url");
        // RUST_LOG shows what the servers of a test say.
        let _ = env_logger::builder().is_test(true).try_init();
        let (ready, listening) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let settings = Settings::from_toml(&text).expect("the settings are valid");
                let app = Application::build(settings).await.expect("the server starts");
                let supervision = Arc::downgrade(&app.supervision());
                let _ = ready.send((app.port(), app.handle(), app.delivery_faults(), supervision));
                app.run_until_stopped().await
            })
        });
        let (port, handle, faults, supervision) = listening.await.expect("the server starts");
        let (endpoint, thread) = (Endpoint { port, way }, Some(thread));
        let may_repair = AtomicBool::new(false);
        Self { endpoint, handle, faults, supervision, thread, redis, may_repair }
    }

    /// Breaks delivery on purpose. The end of the test then does not assert that nothing
    /// had to be repaired.
    pub fn delivery_faults(&self) -> &DeliveryFaults {
        self.may_repair();
        &self.faults
    }

    /// The test makes the server lose what only a comparison with the logs finds, so
    /// its end does not assert that none had to be.
    pub fn may_repair(&self) {
        self.may_repair.store(true, Ordering::Relaxed);
    }

    /// Has a part of the server panic.
    pub fn panic(&self, part: &str) {
        let supervision = self.supervision.upgrade().expect("the server runs");
        assert!(supervision.inject_fault(part), "there is no {part}");
    }

    /// Waits until the server has ended by itself, with an error; answers the error.
    pub async fn failed(mut self) -> String {
        let thread = self.thread.take().expect("it is waited for once");
        let ended = patiently("the end of the server", async {
            tokio::task::spawn_blocking(|| thread.join()).await.expect("joining works")
        });
        ended.await.expect("the server ended with a panic").expect_err("no error").to_string()
    }

    /// Starts the drain, as SIGTERM does.
    pub fn stop(&self) {
        self.handle.stop();
    }
}

impl Deref for TestApp {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let asked = !std::thread::panicking() && !self.may_repair.load(Ordering::Relaxed);
        let repairs = if asked { faulty_repairs(self, self.redis) } else { Vec::new() };
        self.stop();
        let Some(thread) = self.thread.take() else { return };
        let ended = thread.join();
        // A second panic while the first unwinds would hide it.
        if !std::thread::panicking() {
            assert!(repairs.is_empty(), "not delivered, until it was compared: {repairs:?}");
            ended.expect("the server ended with a panic").expect("the server ends well");
        }
    }
}
