//! Users who come, go and move at random over three nodes, of which one is
//! killed, and a backend that fails at times: at the end what it was told is what
//! happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::telling_process;
use crate::harness::{
    Backend, Client, PATIENCE, Process, Random, RedisServer, Reply, eventually, node_process,
};

const ROOMS: [&str; 4] = ["lobby", "kitchen", "garden", "cellar"];
const USERS: usize = 12;
const STEPS: usize = 30;

/// What a backend makes of its events. Each is asserted to follow from those
/// before it.
#[derive(Debug, Default, PartialEq)]
struct World {
    rooms: BTreeMap<String, BTreeSet<String>>,
    online: BTreeSet<String>,
    occupied: BTreeSet<String>,
}

impl World {
    fn fold(events: &[Value]) -> Self {
        let mut world = Self::default();
        for event in events {
            world.apply(event);
        }
        world
    }

    fn apply(&mut self, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (room, user) = (text("room"), text("user"));
        let members = self.rooms.entry(room.clone()).or_default();
        let follows = match event["type"].as_str().unwrap() {
            "room_occupied" => members.is_empty() && self.occupied.insert(room),
            "room_vacated" => members.is_empty() && self.occupied.remove(&room),
            "member_joined" => self.occupied.contains(&room) && members.insert(user),
            "member_left" => self.occupied.contains(&room) && members.remove(&user),
            "user_online" => self.online.insert(user),
            "user_offline" => self.online.remove(&user),
            // On a machine so busy that a node is given up that lives on.
            "resync" if room.is_empty() => {
                match event["online"] == true {
                    true => self.online.insert(user),
                    false => self.online.remove(&user),
                };
                true
            }
            "resync" => {
                let list = event["members"].as_array().unwrap().iter();
                *members = list.map(|user| user.as_str().unwrap().to_owned()).collect();
                match members.is_empty() {
                    true => self.occupied.remove(&room),
                    false => self.occupied.insert(room),
                };
                true
            }
            other => panic!("{other} was told"),
        };
        assert!(follows, "{event} does not follow");
        self.rooms.retain(|_, members| !members.is_empty());
    }
}

struct Person {
    name: String,
    /// Its connection, and the node that has it.
    client: Option<(usize, Client)>,
    rooms: BTreeSet<String>,
}

impl Person {
    async fn connect(&mut self, at: usize, node: &Process) {
        let mut client = node.client(&self.name).await;
        for room in &self.rooms {
            client.join(room).await;
        }
        // The old one goes when the new one is there: the user has moved.
        if let Some((_, old)) = self.client.replace((at, client)) {
            old.leave().await;
        }
    }

    async fn act(&mut self, nodes: &[(usize, &Process)], random: &mut Random) {
        let (at, node) = nodes[random.within(0..nodes.len() as u64) as usize];
        let Some((_, client)) = &mut self.client else {
            self.rooms.clear();
            return self.connect(at, node).await;
        };
        let room = ROOMS[random.within(0..ROOMS.len() as u64) as usize];
        match random.within(0..10) {
            0..4 => {
                client.join(room).await;
                self.rooms.insert(room.to_owned());
            }
            4..7 => {
                client.ask(json!({"type": "leave", "room": room}), "left").await;
                self.rooms.remove(room);
            }
            7..9 => self.connect(at, node).await,
            _ => {
                if let Some((_, client)) = self.client.take() {
                    client.leave().await;
                }
                self.rooms.clear();
            }
        }
    }
}

async fn process(redis: &RedisServer, backend: &Backend, name: &str) -> Process {
    let mut own = telling_process(backend);
    own.push(("ROOKERY__PRESENCE__LEASE", "3s".to_owned()));
    own.push(("ROOKERY__PRESENCE__GRACE", "500ms".to_owned()));
    own.push(("ROOKERY__WEBHOOKS__BATCH", "10".to_owned()));
    own.push(("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "1000".to_owned()));
    let own: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
    node_process(&redis.url(), name, &own).await
}

/// What is so, by the users themselves.
fn truth(people: &[Person]) -> World {
    let mut world = World::default();
    for person in people.iter().filter(|person| person.client.is_some()) {
        world.online.insert(person.name.clone());
        for room in &person.rooms {
            world.rooms.entry(room.clone()).or_default().insert(person.name.clone());
            world.occupied.insert(room.clone());
        }
    }
    world
}

#[tokio::test]
async fn what_is_told_around_a_death_is_what_happened() {
    let seed = Random::seed("ROOKERY_WEBHOOKS_SEED");
    println!("ROOKERY_WEBHOOKS_SEED={seed}");
    let mut random = Random::new(seed);
    let redis = RedisServer::start().await;
    // Of five calls one is answered with an error, one in twenty not at all.
    let calm = Arc::new(AtomicBool::new(false));
    let (is_calm, mut whims) = (calm.clone(), Random::new(seed ^ 1));
    let backend = Backend::answering(move |_| match whims.within(0..20) {
        _ if is_calm.load(Ordering::Relaxed) => Reply::status(200),
        0 => Reply::Silence,
        1..5 => Reply::status(500),
        _ => Reply::status(200),
    })
    .await;
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        nodes.push(process(&redis, &backend, name).await);
    }
    let mut people: Vec<Person> = (0..USERS)
        .map(|number| Person {
            name: format!("user-{number}"),
            client: None,
            rooms: BTreeSet::new(),
        })
        .collect();

    let all: Vec<(usize, &Process)> = nodes.iter().enumerate().collect();
    for _ in 0..STEPS {
        for person in &mut people {
            person.act(&all, &mut random).await;
        }
    }
    // The first one delivers, as it came first.
    let victim = random.within(0..3) as usize;
    nodes[victim].signal("KILL");
    let left: Vec<(usize, &Process)> = all.into_iter().filter(|(at, _)| *at != victim).collect();
    for person in &mut people {
        if person.client.as_ref().is_some_and(|(at, _)| *at == victim) {
            person.client = None;
            // Half of them come back at once, to their rooms: they have moved.
            if random.within(0..2) == 0 {
                let (at, node) = left[random.within(0..2) as usize];
                person.connect(at, node).await;
            } else {
                person.rooms.clear();
            }
        }
    }
    for _ in 0..STEPS {
        for person in &mut people {
            person.act(&left, &mut random).await;
        }
    }
    calm.store(true, Ordering::Relaxed);
    let expected = truth(&people);
    let mut last = World::default();
    let told = eventually("the backend to know what is so", async || {
        last = World::fold(&backend.events());
        (last == expected).then_some(())
    });
    if tokio::time::timeout(PATIENCE - Duration::from_secs(2), told).await.is_err() {
        panic!("the backend knows {last:#?}, and so is {expected:#?}");
    }
    // And all of them go, which leaves nothing.
    for person in &mut people {
        if let Some((_, client)) = person.client.take() {
            client.leave().await;
        }
    }
    eventually("nobody to be there", async || {
        (World::fold(&backend.events()) == World::default()).then_some(())
    })
    .await;
    // Ids stand for one event each, in what was answered with an error too.
    let known = backend.events_by_id();
    assert!(known.len() > 100, "{} events", known.len());
    println!("{} events in {} calls", known.len(), backend.calls().len());
}
