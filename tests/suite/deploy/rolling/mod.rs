//! A rolling restart, as docs/operations.md describes it: two nodes behind a proxy are
//! restarted one after the other while many clients write and read.

mod client;
mod judge;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use super::fronts::{Front, Kind};
use crate::harness::{
    Client, Endpoint, Process, RedisServer, eventually, free_port, node_process, went,
};
use client::{Phase, Progress, Record, Returned};

const CLIENTS: usize = 40;
const ROOMS: usize = 4;

/// How long a user is shown whose connection broke.
const GRACE: Duration = Duration::from_secs(5);
/// The most that a node with so few clients tells one to wait.
const SPREAD: Duration = Duration::from_secs(1);
/// So many writes by each client are between two steps.
const MORE: usize = 8;

const SETTINGS: [(&str, &str); 5] = [
    ("ROOKERY__PRESENCE__GRACE", "5s"),
    ("ROOKERY__PRESENCE__LEASE", "10s"),
    ("ROOKERY__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    // All that is written is there at the end, to be judged.
    ("ROOKERY__ROOMS__HISTORY_SIZE", "100000"),
    ("ROOKERY__ROOMS__HISTORY_BYTES", "256 MiB"),
];

fn room(number: usize) -> String {
    format!("room-{}", number % ROOMS)
}

fn rooms_of(client: usize) -> [String; 2] {
    [room(client), room(client + 1)]
}

fn user(number: usize) -> String {
    format!("u{number}")
}

/// The clients and what they say of themselves.
struct Crowd {
    phase: watch::Sender<Phase>,
    progress: Vec<Arc<Mutex<Progress>>>,
    tasks: Vec<JoinHandle<Record>>,
}

impl Crowd {
    fn come(door: Endpoint) -> Self {
        let (phase, phases) = watch::channel(Phase::Write);
        let mut crowd = Self { phase, progress: Vec::new(), tasks: Vec::new() };
        for number in 0..CLIENTS {
            let progress = Arc::<Mutex<Progress>>::default();
            let life = client::live(
                door,
                user(number),
                rooms_of(number),
                phases.clone(),
                progress.clone(),
            );
            crowd.tasks.push(tokio::spawn(life));
            crowd.progress.push(progress);
        }
        crowd
    }

    /// Waits until each, by its number, is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(usize, &Progress) -> bool) {
        eventually(what, async || {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a client gave up");
            let mut all = self.progress.iter().enumerate();
            all.all(|(number, it)| wanted(number, &it.lock().expect("no panic"))).then_some(())
        })
        .await;
    }

    /// Waits until all are here and everybody had some more acknowledged.
    async fn goes_on(&self) {
        let written = |it: &Arc<Mutex<Progress>>| it.lock().expect("no panic").acknowledged;
        let before: Vec<usize> = self.progress.iter().map(written).collect();
        self.until("everybody to go on", |number, it| {
            it.is_here && it.acknowledged >= before[number] + MORE
        })
        .await;
    }

    /// Lets them finish what they began, and gives what each saw and the logs.
    async fn finish(self, node: &Endpoint) -> (Vec<Record>, Vec<judge::Log>) {
        self.phase.send_replace(Phase::Listen);
        self.until("the last acks", |_, it| it.is_here && it.pending == 0).await;
        let mut logs = Vec::new();
        let mut reader = node.client("reader").await;
        for number in 0..ROOMS {
            logs.push(judge::Log::read(&mut reader, &room(number)).await);
        }
        self.until("the last messages", |_, it| {
            logs.iter().all(|log| it.seen.get(&log.room).is_none_or(|seen| *seen == log.end()))
        })
        .await;
        self.phase.send_replace(Phase::Leave);
        let mut records = Vec::new();
        for task in self.tasks {
            records.push(task.await.expect("a client does not panic"));
        }
        (records, logs)
    }
}

/// Somebody on the node that is not restarted, in all rooms.
struct Onlooker(Client);

impl Onlooker {
    async fn at(node: &Endpoint, name: &str) -> Self {
        let mut client = node.client(name).await;
        for number in 0..ROOMS {
            client.join(&room(number)).await;
        }
        Self(client)
    }

    /// Waits until each user is shown with the connection it has and no other, as
    /// those of a node that ended are gone, and gives who was shown to leave.
    async fn saw_leaving(&mut self) -> BTreeSet<String> {
        for room in (0..ROOMS).map(room) {
            eventually("all users with one session each", async || {
                let members = self.0.members(&room).await["members"].clone();
                let shown = |user: String| {
                    let member = members.as_array()?.iter().find(|it| it["user"] == user)?;
                    (member["sessions"] == 1).then_some(())
                };
                let of_it = (0..CLIENTS).filter(|number| rooms_of(*number).contains(&room));
                of_it.map(user).map(shown).collect::<Option<()>>()
            })
            .await;
        }
        let messages = self.0.settle().await;
        let left = |name: &String| messages.iter().any(|message| went(message, name));
        (0..CLIENTS).map(user).filter(left).collect()
    }
}

async fn start(redis: &RedisServer, name: &str, port: u16) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let own = [("ROOKERY__SERVER__LISTEN", listen.as_str())];
    let node = node_process(&redis.url(), name, &[&SETTINGS[..], &own].concat()).await;
    eventually("a ready node", async || (node.get("/readyz").await.status == 200).then_some(()))
        .await;
    node
}

/// SIGTERM, wait for the end, start it again, wait for `/readyz`.
async fn restart(redis: &RedisServer, name: &str, node: &mut Process) {
    let port = node.port;
    node.signal("TERM");
    assert_eq!(node.exited().await.code(), Some(0), "{}", node.log());
    *node = start(redis, name, port).await;
}

#[tokio::test]
async fn behind_nginx_nothing_and_nobody_is_lost() {
    roll(Kind::Nginx).await;
}

#[tokio::test]
async fn behind_haproxy_nothing_and_nobody_is_lost() {
    roll(Kind::Haproxy).await;
}

async fn roll(kind: Kind) {
    let redis = RedisServer::start().await;
    let ports = [free_port(), free_port()];
    let mut nodes = [start(&redis, "n1", ports[0]).await, start(&redis, "n2", ports[1]).await];
    let front = Front::start(kind, ports).await;
    let crowd = Crowd::come(*front.proxy);
    crowd.goes_on().await;

    let mut left = Vec::new();
    for (number, name) in ["n1", "n2"].iter().enumerate() {
        let mut onlooker = Onlooker::at(&nodes[1 - number], &format!("onlooker-{number}")).await;
        onlooker.saw_leaving().await;
        restart(&redis, name, &mut nodes[number]).await;
        crowd.goes_on().await;
        left.push((name.to_string(), onlooker.saw_leaving().await));
    }

    let (records, logs) = crowd.finish(&nodes[0]).await;
    judge::judge(&records, &logs);
    for (name, left) in left {
        let returned = |record: &Record| {
            let from = record.returned.iter().find(|it| it.node == name)?.clone();
            Some((record.user.clone(), from))
        };
        let returned: Vec<(String, Returned)> = records.iter().filter_map(returned).collect();
        judge_returns(&name, &returned);
        for (user, returned) in returned {
            let in_time = returned.away < GRACE;
            assert!(!in_time || !left.contains(&user), "{user} was shown to leave: {returned:?}");
        }
        let others = left.iter().find(|user| !records.iter().any(|it| it.user == **user));
        assert_eq!(others, None);
    }
}

/// Each came when it was told to, and they were told different times.
fn judge_returns(node: &str, returned: &[(String, Returned)]) {
    assert!(returned.len() >= CLIENTS / 4, "few were at {node}: {returned:?}");
    for (user, it) in returned {
        assert!(it.told <= SPREAD && it.came >= it.told, "{user}: {it:?}");
    }
    let early = returned.iter().filter(|(_, it)| it.told < SPREAD / 2).count();
    assert!((1..returned.len()).contains(&early), "not spread: {returned:?}");
    println!(
        "{node}: {} clients came back, told {:?}, after {:?}, away for {:?}",
        returned.len(),
        range(returned, |it| it.told),
        range(returned, |it| it.came),
        range(returned, |it| it.away),
    );
}

fn range(
    returned: &[(String, Returned)],
    of: impl Fn(&Returned) -> Duration,
) -> (Duration, Duration) {
    let times = || returned.iter().map(|(_, it)| of(it));
    (times().min().unwrap_or_default(), times().max().unwrap_or_default())
}
