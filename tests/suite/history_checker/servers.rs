//! The servers of a run, and what is done to them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::RwLock,
    time::{Instant, sleep_until},
};

use super::{
    plan::{Fault, Schedule, Setup},
    record::Outage,
};
use crate::harness::{Directory, Endpoint, Process, RedisServer, node_process};

/// How long a cut connection's user is shown, and a dead node's users at most.
pub const GRACE: Duration = Duration::from_millis(300);
pub const LEASE: Duration = Duration::from_secs(4);

/// No limit is met, and no log is ever shortened.
const SETTINGS: [(&str, &str); 9] = [
    ("ROOKERY__PRESENCE__LEASE", "4s"),
    ("ROOKERY__PRESENCE__GRACE", "300ms"),
    ("ROOKERY__HEARTBEAT__INTERVAL", "2s"),
    ("ROOKERY__HEARTBEAT__TIMEOUT", "5s"),
    ("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "1000"),
    ("ROOKERY__LIMITS__CONNECTIONS_PER_IP", "10000"),
    ("ROOKERY__ROOMS__HISTORY_SIZE", "200000"),
    ("ROOKERY__ROOMS__HISTORY_BYTES", "256 MiB"),
    ("ROOKERY__INBOX__SIZE", "200000"),
];

/// Where each node can be reached now; a node that restarts has another port.
pub struct Doors(Mutex<Vec<Option<Endpoint>>>);

impl Doors {
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    pub fn open(&self, node: usize) -> Option<Endpoint> {
        self.lock()[node]
    }

    fn set(&self, node: usize, door: Option<Endpoint>) {
        self.lock()[node] = door;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Endpoint>>> {
        self.0.lock().expect("nobody panics with the doors")
    }
}

/// What was done to the servers, with the moments.
#[derive(Default)]
pub struct Log(Mutex<Vec<Outage>>);

impl Log {
    fn note(&self, outage: Outage) {
        self.0.lock().expect("nobody panics with the log").push(outage);
    }

    pub fn take(&self) -> Vec<Outage> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with the log"))
    }
}

pub struct Servers {
    redis: Option<Arc<RwLock<RedisServer>>>,
    nodes: Vec<Process>,
    /// Where a node alone keeps its log.
    path: Option<Arc<Directory>>,
    pub doors: Arc<Doors>,
    pub log: Arc<Log>,
}

async fn start_node(url: &str, path: Option<&Directory>, node: usize, workers: usize) -> Process {
    let path = path.map_or(String::new(), |path| path.path().display().to_string());
    let workers = workers.to_string();
    let mut settings = SETTINGS.to_vec();
    settings.push(("ROOKERY__BROKER__PATH", &path));
    settings.push(("ROOKERY__SERVER__WORKERS", &workers));
    node_process(url, &format!("n{node}"), &settings).await
}

impl Servers {
    pub async fn start(setup: &Setup) -> Self {
        let redis = match setup.redis {
            true => Some(RedisServer::durable().await),
            false => None,
        };
        let url = redis.as_ref().map_or(String::new(), RedisServer::url);
        let path = setup.durable.then(|| Arc::new(Directory::new()));
        let mut nodes = Vec::new();
        for node in 0..setup.nodes {
            nodes.push(start_node(&url, path.as_deref(), node, setup.workers).await);
        }
        let doors = nodes.iter().map(|node| Some(**node)).collect();
        Self {
            redis: redis.map(|redis| Arc::new(RwLock::new(redis))),
            nodes,
            path,
            doors: Arc::new(Doors(Mutex::new(doors))),
            log: Arc::default(),
        }
    }

    /// Lets things go wrong as planned while the clients work; then all is well.
    pub async fn suffer(&mut self, setup: &Setup, seed: u64, start: Instant, until: Instant) {
        let redis = async {
            if let Some(redis) = &self.redis {
                harm_redis(redis, Schedule::redis(setup, seed), &self.log, start, until).await;
            }
        };
        let nodes = self.nodes.drain(..).enumerate().map(|(node, process)| {
            let harm = NodeHarm {
                node,
                workers: setup.workers,
                loses: !setup.redis && !setup.durable,
                process,
                redis: self.redis.clone(),
                path: self.path.clone(),
                doors: Arc::clone(&self.doors),
                log: Arc::clone(&self.log),
                start,
            };
            harm.suffer(Schedule::node(setup, node, seed), until)
        });
        let ((), nodes) = tokio::join!(redis, join_all(nodes));
        self.nodes = nodes;
    }

    /// The last lines that each node logged.
    pub fn logs(&self, lines: usize) -> String {
        let mut text = String::new();
        for (node, process) in self.nodes.iter().enumerate() {
            let log = process.log();
            let all: Vec<&str> = log.lines().collect();
            text.push_str(&format!("--- the log of node {node}, its end ---\n"));
            for line in all.iter().skip(all.len().saturating_sub(lines)) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

async fn harm_redis(
    redis: &RwLock<RedisServer>,
    schedule: Schedule,
    log: &Log,
    start: Instant,
    until: Instant,
) {
    for step in schedule {
        let begins = Instant::now() + step.wait;
        let ends = until.min(begins + step.lasts);
        if begins > until {
            return;
        }
        sleep_until(begins).await;
        // No node is started meanwhile.
        let mut redis = redis.write().await;
        let (what, begins) = (step.fault.to_string(), start.elapsed());
        match step.fault {
            Fault::RedisRestart => {
                redis.kill();
                sleep_until(ends).await;
                redis.restart().await;
            }
            Fault::RedisLoss => {
                redis.kill();
                sleep_until(ends).await;
                redis.restart_empty().await;
            }
            Fault::RedisPause => {
                redis.pause();
                sleep_until(ends).await;
                redis.resume();
            }
            Fault::CutSubscriptions => {
                redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
            Fault::CutCommands => {
                redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            }
            Fault::NodeRestart | Fault::NodePause => {}
        }
        let loses = step.fault == Fault::RedisLoss;
        log.note(Outage { what, node: None, begins, ends: start.elapsed(), loses });
    }
}

/// One node, with what its faults need.
struct NodeHarm {
    node: usize,
    workers: usize,
    /// Whether its log ends with its process.
    loses: bool,
    process: Process,
    redis: Option<Arc<RwLock<RedisServer>>>,
    path: Option<Arc<Directory>>,
    doors: Arc<Doors>,
    log: Arc<Log>,
    start: Instant,
}

impl NodeHarm {
    async fn suffer(mut self, schedule: Schedule, until: Instant) -> Process {
        for step in schedule {
            let begins = Instant::now() + step.wait;
            let ends = until.min(begins + step.lasts);
            if begins > until {
                break;
            }
            sleep_until(begins).await;
            let (what, begins) = (step.fault.to_string(), self.start.elapsed());
            if step.fault == Fault::NodePause {
                self.process.signal("STOP");
                sleep_until(ends).await;
                self.process.signal("CONT");
            } else {
                self.doors.set(self.node, None);
                self.process.signal("KILL");
                self.process.exited().await;
                sleep_until(ends).await;
                self.process = self.restarted().await;
                self.doors.set(self.node, Some(*self.process));
            }
            let loses = self.loses && step.fault == Fault::NodeRestart;
            let (node, ends) = (Some(self.node), self.start.elapsed());
            self.log.note(Outage { what, node, begins, ends, loses });
        }
        self.process
    }

    async fn restarted(&self) -> Process {
        let path = self.path.as_deref();
        match &self.redis {
            None => start_node("", path, self.node, self.workers).await,
            Some(redis) => {
                let redis = redis.read().await;
                start_node(&redis.url(), path, self.node, self.workers).await
            }
        }
    }
}
