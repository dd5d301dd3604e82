//! What comes back, and what does not.

use std::{fs, path::Path, time::Duration};

use rookery::{
    broker::{Broker, Start, memory::DurableBroker},
    model::{Body, Payload, Position, RoomName},
};

use super::{chat, direct, draft, open, room, rows, seen, set, user, waiting};
use crate::harness::{Directory, eventually};

#[actix::test]
async fn all_of_a_room_is_there_again() {
    let directory = Directory::new();
    let (lobby, dash, read) = (room("lobby"), room("dash"), room("read"));
    let first = open(directory.path(), "").unwrap();
    for n in 0..20 {
        first.publish(&lobby, chat(&format!("{n} \"ä\u{1}"), Some(&n.to_string()))).await.unwrap();
    }
    for (key, value) in [("a", Some("1")), ("b", Some("{\"x\":[]}")), ("c", Some("3"))] {
        first.publish(&dash, set(key, value)).await.unwrap();
    }
    first.publish(&dash, set("a", Some("4"))).await.unwrap();
    first.publish(&dash, set("c", None)).await.unwrap();
    for n in 0..4 {
        let body = Body::Direct { to: user("bob"), payload: Payload::Text(n.to_string().into()) };
        first.publish(&RoomName::inbox(&user("bob")), draft(body, None)).await.unwrap();
    }
    first.seen(&user("bob"), None, 2).await.unwrap();
    // One that somebody joined, and nobody wrote to.
    let unwritten = first.snapshot(&read, Start::End).await.unwrap().position;
    let before = (
        seen(&first, &lobby).await.unwrap(),
        seen(&first, &dash).await.unwrap(),
        waiting(&first, "bob").await,
    );
    assert_eq!(before.2.0.seq, 2);
    drop(first);

    let second = open(directory.path(), "").unwrap();
    let after = (
        seen(&second, &lobby).await.unwrap(),
        seen(&second, &dash).await.unwrap(),
        waiting(&second, "bob").await,
    );
    assert_eq!(after, before);
    assert_eq!(second.snapshot(&read, Start::End).await.unwrap().position, unwritten);
    // Nonces, versions and places go on.
    let again = second.publish(&lobby, chat("another", Some("7"))).await.unwrap();
    assert_eq!((again.duplicate, again.position.seq), (true, 8));
    let new = second.publish(&lobby, chat("another", Some("new"))).await.unwrap();
    assert_eq!(new.position, Position { seq: 21, ..before.0.position });
    let known = Some(Position { seq: 15, ..before.0.position });
    let start = Start::After { known, otherwise: 1 };
    let resumed = second.snapshot(&lobby, start).await.unwrap();
    assert!(resumed.recovered);
    assert_eq!(
        resumed.messages.iter().map(|it| it.seq).collect::<Vec<_>>(),
        [16, 17, 18, 19, 20, 21]
    );
    let mut compared = set("a", Some("5"));
    compared.if_version = Some(4);
    assert_eq!(second.publish(&dash, compared).await.unwrap().position.seq, 6);
}

/// What was let go of does not come back, with the room it was of.
#[actix::test]
async fn what_is_over_its_time_or_number_is_gone_from_the_disk_too() {
    const SETTINGS: &str = "rooms.history_size = 5\nrooms.dedup_entries = 3\n\
        [[rooms.namespace]]\nmatch = \"short\"\nhistory_ttl = \"50ms\"\nstate_ttl = \"50ms\"\n\
        dedup_window = \"50ms\"";
    let directory = Directory::new();
    let (long, short) = (room("long"), room("short"));
    let first = open(directory.path(), SETTINGS).unwrap();
    for n in 0..20 {
        first.publish(&long, chat("x", Some(&n.to_string()))).await.unwrap();
    }
    first.publish(&RoomName::inbox(&user("bob")), direct("bob", "x")).await.unwrap();
    first.seen(&user("bob"), None, 1).await.unwrap();
    first.publish(&short, set("k", Some("1"))).await.unwrap();
    let gone = first.publish(&short, chat("x", Some("n"))).await.unwrap().position;
    // Only time makes a room old.
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.sweep();
    drop(first);

    assert_eq!(rows(&directory, "entries"), 5);
    assert_eq!(rows(&directory, "nonces"), 3);
    assert_eq!(rows(&directory, "rooms"), 2, "the one that is left, and the inbox");
    assert_eq!(rows(&directory, "state"), 0);
    let second: DurableBroker = open(directory.path(), SETTINGS).unwrap();
    assert_eq!(seen(&second, &long).await.unwrap().log.len(), 5);
    assert_ne!(seen(&second, &short).await.unwrap().position.epoch, gone.epoch);
    assert!(!second.publish(&long, chat("x", Some("16"))).await.unwrap().duplicate);
    assert!(second.publish(&long, chat("x", Some("19"))).await.unwrap().duplicate);
}

/// The settings of the new start hold, for what was written under others too.
#[actix::test]
async fn a_shorter_history_shortens_what_is_there() {
    let directory = Directory::new();
    let lobby = room("lobby");
    let first = open(directory.path(), "").unwrap();
    for n in 0..50 {
        first.publish(&lobby, chat(&n.to_string(), None)).await.unwrap();
    }
    drop(first);
    let second = open(directory.path(), "rooms.history_size = 10").unwrap();
    assert_eq!(seen(&second, &lobby).await.unwrap().log.len(), 10);
    second.sweep();
    drop(second);
    assert_eq!(rows(&directory, "entries"), 10);
}

/// What people wrote to each other concerns nobody else on the machine.
#[actix::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let path = directory.path().join("store");
    drop(open(&path, "").unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

/// Who waits for a place in the queue gets one.
#[actix::test]
async fn more_writes_at_once_than_the_queue_has_places() {
    let directory = Directory::new();
    let broker = open(directory.path(), "rooms.history_size = 10000").unwrap();
    let lobby = room("lobby");
    let writes = (0..3_000).map(|n| broker.publish(&lobby, chat(&n.to_string(), None)));
    let receipts = futures_util::future::join_all(writes).await;
    let mut places: Vec<u64> = receipts.into_iter().map(|it| it.unwrap().position.seq).collect();
    places.sort_unstable();
    assert_eq!(places, (1..=3_000).collect::<Vec<_>>());
    drop(broker);
    eventually("the file", async || (rows(&directory, "entries") == 3_000).then_some(())).await;
}
