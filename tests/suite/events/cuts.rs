//! Streams of several rooms, cut at random, that go on by the last `id` alone,
//! as a browser's do: each message of each room is read once, in its order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::harness::{Certificates, Client, Endpoint, Listener, Random, TestApp};

const ROOMS: [&str; 4] = ["a", "dash:b/1", "c.c", "d-d"];
const MESSAGES: u64 = 1500;
const READERS: u64 = 6;

async fn write(server: Endpoint, seed: u64) {
    let mut random = Random::new(seed);
    let mut writer: Client = server.client("writer").await;
    for room in ROOMS {
        writer.join(room).await;
    }
    for number in 0..MESSAGES {
        let room = ROOMS[random.within(0..ROOMS.len() as u64) as usize];
        let chat =
            json!({"type": "chat", "room": room, "content": format!("{number}"), "echo": false});
        writer.write(chat).await;
        if number % 7 == 0 {
            writer.set(room, "k", json!(number)).await;
        }
    }
    for room in ROOMS {
        writer.chat(room, "end").await;
    }
}

/// Reads until it has the last message of every room; gives the chats of each.
async fn read(server: Endpoint, number: u64, seed: u64) -> (BTreeMap<String, Vec<u64>>, u64) {
    let mut random = Random::new(seed.wrapping_add(number));
    let mut logs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let (mut last_id, mut ended, mut cuts) = (String::new(), 0, 0);
    let mut joined = BTreeSet::new();
    let token = server.token(&format!("reader-{number}"));
    loop {
        let mut connect = server.events().bearer(&token);
        for room in ROOMS {
            connect = connect.query("room", room);
        }
        if !last_id.is_empty() {
            connect = connect.header("last-event-id", last_id.as_str());
        }
        let mut listener = Listener::open(connect).await;
        let (mut read, enough) = (0, random.within(1..200));
        // Not cut before it is told where it is in each room: its `id` would not
        // name them all, and it would come into the others anew.
        while read < enough || joined.len() < ROOMS.len() {
            let Some(told) = listener.try_next().await else { break };
            read += 1;
            let room = told.data["room"].as_str().unwrap_or_default().to_owned();
            let whole = match told.data["type"].as_str() {
                Some("joined") => {
                    joined.insert(room.clone());
                    assert!(last_id.is_empty() || told.data["recovered"] == true, "{told:?}");
                    told.data["messages"].as_array().cloned().unwrap_or_default()
                }
                Some("chat") => vec![told.data.clone()],
                _ => continue,
            };
            for entry in whole.iter().filter(|entry| entry["type"] == "chat") {
                ended += u64::from(entry["content"] == "end");
                let seq = entry["seq"].as_u64().expect("a seq is a number");
                logs.entry(room.clone()).or_default().push(seq);
            }
            if ended == ROOMS.len() as u64 {
                return (logs, cuts);
            }
        }
        // The browser of a stream that told no `id` yet goes on by the one before.
        if !listener.last_id.is_empty() {
            last_id.clone_from(&listener.last_id);
        }
        listener.cut();
        cuts += 1;
    }
}

const SETTINGS: &str = "limits.messages_per_second = 100000\nlimits.connects_per_second = 100000\n\
                        rooms.history_size = 20000";

#[tokio::test]
async fn the_last_id_alone_loses_and_repeats_nothing_in_any_room() {
    run(TestApp::spawn(SETTINGS).await).await;
}

#[tokio::test]
async fn over_tls_the_last_id_alone_loses_and_repeats_nothing_either() {
    run(TestApp::spawn_tls(&Certificates::new(), SETTINGS).await).await;
}

async fn run(app: TestApp) {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed}");
    // Each reader has been in all rooms before the first message, else it would
    // owe none of what was said before it came.
    let mut readers = Vec::new();
    for number in 0..READERS {
        readers.push(tokio::spawn(read(*app, number, seed)));
    }
    app.until_connections(READERS).await;
    let mut watcher = app.client("watcher").await;
    for room in ROOMS {
        crate::harness::eventually("all readers are members", async || {
            let members = watcher.members(room).await;
            (members["count"] == READERS).then_some(())
        })
        .await;
    }
    write(*app, seed).await;
    let mut expected = BTreeMap::new();
    for room in ROOMS {
        let mut chats = Vec::new();
        loop {
            let after = chats.last().copied().unwrap_or(0);
            let page = watcher.history(room, json!({"after": after, "limit": 1000})).await;
            let entries = page["messages"].as_array().expect("a list of messages");
            let seqs = entries.iter().filter(|entry| entry["type"] == "chat");
            chats.extend(seqs.map(|entry| entry["seq"].as_u64().expect("a seq")));
            if page["more"] != true {
                break;
            }
        }
        expected.insert(room.to_owned(), chats);
    }
    let mut cuts = 0;
    for reader in readers {
        let (logs, its_cuts) = reader.await.expect("a reader's checks fail");
        assert_eq!(logs, expected);
        cuts += its_cuts;
    }
    assert!(cuts > 0, "nothing was cut");
    println!("{MESSAGES} messages in {} rooms, {cuts} streams cut", ROOMS.len());
}
