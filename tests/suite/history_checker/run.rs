//! One round: clients work while servers suffer, then all is well again and is
//! read once more.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    client::{Phase, Progress, World, Writer},
    judge::{LIVE_BOUND, state_of},
    parse,
    plan::Setup,
    record::{Entries, History, InboxPosition, Members, Position, Room, View},
    servers::{GRACE, LEASE, Servers},
};
use crate::harness::{Client, Random, eventually};

/// How long the last answers and messages may take when all is well.
const SETTLING: Duration = Duration::from_secs(20);
/// What a busy machine may add to a deadline of the contract.
const SLACK: Duration = Duration::from_secs(5);
/// For how long live delivery is waited for, beyond its bound: so that what has not
/// come by then was due.
const MARGIN: Duration = Duration::from_secs(2);

pub struct Outcome {
    pub history: History,
    /// How long it took until everybody was told who is there.
    pub presence: Duration,
    /// The last lines the servers logged.
    pub logs: String,
}

pub async fn run(setup: &Setup, seed: u64, work: Duration) -> Outcome {
    let mut servers = Servers::start(setup).await;
    let start = Instant::now();
    let rooms: Vec<String> = (0..setup.rooms).map(|room| format!("room-{room}")).collect();
    let (phase, phases) = watch::channel(Phase::Work);
    let world = World {
        start,
        setup: *setup,
        seed,
        rooms: Arc::new(rooms),
        doors: Arc::clone(&servers.doors),
        entries: Arc::new(Entries::default()),
        phase: phases,
    };
    let mut seeds = Random::new(seed);
    let mut progress = Vec::new();
    let mut tasks = Vec::new();
    for number in 0..setup.clients {
        let user = user_of(number, setup);
        let writer = Writer::new(number, user, seeds.next(), world.clone());
        progress.push(writer.progress());
        tasks.push(tokio::spawn(writer.run()));
    }
    servers.suffer(setup, seeds.next(), start, start + work).await;
    sleep_until(start + work).await;
    let healed = Instant::now();
    phase.send_replace(Phase::Finish);
    let ready = |progress: &Mutex<Progress>| progress.lock().expect("no panic").ready;
    wait(SETTLING, || progress.iter().all(|one| ready(one))).await;
    // Before anything is read that could wake somebody who sleeps.
    wait(LIVE_BOUND + MARGIN, || is_delivered(&progress, setup)).await;

    let mut views = read_views(&world, setup).await;
    wait(SETTLING, || progress.iter().all(|one| caught_up(one, &views))).await;
    let deadline = healed + LEASE + GRACE + SLACK;
    loop {
        let expected = expected(&progress, setup);
        let told = progress.iter().all(|one| told_right(one, &expected));
        read_members(&world, &mut views).await;
        let shown = views.iter().all(|view| view.members == expected[&view.room]);
        // Not while one of them is coming back.
        let here = progress.iter().all(|one| ready(one));
        if (here && told && shown) || Instant::now() > deadline {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let presence = healed.elapsed();
    phase.send_replace(Phase::Calm);
    let calm = |progress: &Mutex<Progress>| progress.lock().expect("no panic").calm;
    let staying = progress.iter().filter(|one| ready(one)).collect::<Vec<_>>();
    wait(SLACK, || staying.iter().all(|one| calm(one))).await;
    wait(LIVE_BOUND + MARGIN, || are_signals_heard(&progress, setup)).await;
    let ends = start.elapsed();
    phase.send_replace(Phase::Stop);
    let (mut clients, mut connections) = (Vec::new(), Vec::new());
    for task in tasks {
        let (history, connection) = task.await.expect("a client does not panic");
        clients.push(history);
        connections.push(connection);
    }
    drop(connections);
    read_states(&world, &mut views).await;
    let mut outages = servers.log.take();
    outages.sort_by_key(|outage| outage.begins);
    let history = History { clients, views, outages, ends };
    Outcome { history, presence, logs: servers.logs(12) }
}

/// Waits until it `holds`, or until it is too late: the judge says what then.
async fn wait(at_most: Duration, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + at_most;
    while !holds() && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether all that was acknowledged has come to all who are in its room, or whose
/// inbox it is.
fn is_delivered(progress: &[Arc<Mutex<Progress>>], setup: &Setup) -> bool {
    let (mut rooms, mut inboxes) = (HashSet::new(), HashSet::new());
    for one in progress {
        let one = one.lock().expect("no panic");
        rooms.extend(one.written.iter().map(|(room, at)| (*room, at.clone())));
        inboxes.extend(one.directs.iter().map(|(user, at)| (user.clone(), at.clone())));
    }
    progress.iter().enumerate().all(|(number, one)| {
        let one = one.lock().expect("no panic");
        let has_entry = |(room, at): &(Room, Position)| {
            let place = one.places.get(room).map(|place| &place.position);
            place.is_none_or(|known| known.epoch != at.epoch || known.seq >= at.seq)
        };
        let own = user_of(number, setup);
        let has_direct = |(user, at): &(String, InboxPosition)| {
            let known = one.inbox.as_ref().filter(|known| *user == own && known.epoch == at.epoch);
            known.is_none_or(|known| known.seq >= at.seq)
        };
        rooms.iter().all(has_entry) && inboxes.iter().all(has_direct)
    })
}

/// Whether everybody heard the last signal of every other member.
fn are_signals_heard(progress: &[Arc<Mutex<Progress>>], setup: &Setup) -> bool {
    let mut sent: BTreeMap<(Room, usize), usize> = BTreeMap::new();
    for (number, one) in progress.iter().enumerate() {
        let one = one.lock().expect("no panic");
        let own = one.signals.iter();
        let own = own.filter(|((room, it), _)| *it == number && one.places.contains_key(room));
        sent.extend(own.map(|(key, signal)| (*key, *signal)));
    }
    progress.iter().enumerate().all(|(number, one)| {
        let one = one.lock().expect("no panic");
        sent.iter().all(|((room, client), signal)| {
            let same_user = user_of(*client, setup) == user_of(number, setup);
            let heard = one.signals.get(&(*room, *client));
            same_user || !one.places.contains_key(room) || heard == Some(signal)
        })
    })
}

fn user_of(client: usize, setup: &Setup) -> String {
    format!("u{}", client % setup.users)
}

/// Whether a client was told all there is in the rooms it is in.
fn caught_up(progress: &Mutex<Progress>, views: &[View]) -> bool {
    let progress = progress.lock().expect("no panic");
    progress.places.iter().all(|(room, place)| {
        let Some(view) = views.iter().find(|view| view.room == *room) else { return true };
        let versions = view.state.iter().map(|(key, (_, version))| (key, version));
        place.position == view.end && place.versions.iter().eq(versions)
    })
}

/// Who is in each room, by the clients' own word.
fn expected(progress: &[Arc<Mutex<Progress>>], setup: &Setup) -> BTreeMap<Room, Members> {
    let mut rooms: BTreeMap<Room, Members> =
        (0..setup.rooms).map(|room| (room, Members::new())).collect();
    for (number, one) in progress.iter().enumerate() {
        for room in one.lock().expect("no panic").places.keys() {
            let user = user_of(number, setup);
            *rooms.entry(*room).or_default().entry(user).or_default() += 1;
        }
    }
    rooms
}

fn told_right(progress: &Mutex<Progress>, expected: &BTreeMap<Room, Members>) -> bool {
    let progress = progress.lock().expect("no panic");
    progress.places.iter().all(|(room, place)| place.members == expected[room])
}

/// Asks until it is not answered `unavailable`.
async fn ask(reader: &mut Client, message: &Value) -> Value {
    let reader = tokio::sync::Mutex::new(reader);
    eventually("an answer when all is well", async || {
        let answer = reader.lock().await.request(message.clone()).await;
        (answer["code"] != "unavailable").then_some(answer)
    })
    .await
}

/// The whole log of every room, page by page, on every node.
async fn read_views(world: &World, setup: &Setup) -> Vec<View> {
    let mut views = Vec::new();
    for node in 0..setup.nodes {
        let door = world.doors.open(node).expect("all nodes are back");
        let mut reader = door.client("reader").await;
        for (room, name) in world.rooms.iter().enumerate() {
            let mut log: Vec<(u64, _)> = Vec::new();
            let end = loop {
                let after = log.last().map_or(0, |(seq, _)| *seq);
                let question =
                    json!({"type": "history", "room": name, "after": after, "limit": 1000});
                let mut page = ask(&mut reader, &question).await;
                let entries = parse::entries(&page, name, "reader", &world.entries);
                log.extend(entries.expect("a page of history"));
                page["seq"] = log.last().map_or(0, |(seq, _)| *seq).into();
                if page["more"] == false {
                    break parse::position(&page).expect("a page has an epoch");
                }
            };
            let state = state_of(&log);
            views.push(View { node, room, end, log, state, members: Members::new() });
        }
    }
    views
}

async fn read_members(world: &World, views: &mut [View]) {
    let mut readers = BTreeMap::new();
    for view in views {
        if let std::collections::btree_map::Entry::Vacant(vacant) = readers.entry(view.node) {
            let door = world.doors.open(view.node).expect("all nodes are back");
            vacant.insert(door.client("reader").await);
        }
        let reader = readers.get_mut(&view.node).expect("just made");
        let question = json!({"type": "presence", "room": world.rooms[view.room]});
        let answer = ask(reader, &question).await;
        view.members = parse::members(&answer, "members").expect("a list of members");
    }
}

/// The shared state as each node shows it to one who joins.
async fn read_states(world: &World, views: &mut [View]) {
    for view in views {
        let door = world.doors.open(view.node).expect("all nodes are back");
        let mut reader = door.client("reader").await;
        let name = &world.rooms[view.room];
        let answer = ask(&mut reader, &json!({"type": "join", "room": name})).await;
        let joined = parse::joined(&answer, name, "reader", &world.entries);
        view.state = joined.expect("a `joined`").0.state;
    }
}
