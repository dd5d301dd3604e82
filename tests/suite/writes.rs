//! `chat` and `publish`: the log, who gets what, `nonce` and `echo`.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, eventually, now_ms, seqs};

fn chat(content: &str, nonce: &str) -> Value {
    json!({"type": "chat", "room": "lobby", "content": content, "nonce": nonce})
}

async fn log(client: &mut Client) -> Value {
    client.history("lobby", json!({})).await["messages"].take()
}

#[tokio::test]
async fn a_chat_is_acknowledged_and_reaches_every_member_its_sender_too() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let joined = alice.join("lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut outsider = app.member("carol", "elsewhere").await;

    let ack = alice.chat("lobby", "hello ☃").await;
    assert_eq!((&ack["seq"], &ack["epoch"]), (&json!(1), &joined["epoch"]));
    for client in [&mut alice, &mut bob] {
        let message = client.expect("chat").await;
        assert_eq!(message["room"], "lobby");
        assert_eq!(message["seq"], 1);
        assert_eq!(message["user"], "alice");
        assert_eq!(message["content"], "hello ☃");
        let age = now_ms().abs_diff(message["timestamp"].as_u64().expect("integer milliseconds"));
        assert!(age < 60_000, "{message}");
        assert!(message.get("id").is_none() && message.get("nonce").is_none(), "{message}");
    }
    let seen = outsider.settle().await;
    assert!(!seen.iter().any(|m| m["type"] == "chat"), "{seen:?}");
}

#[tokio::test]
async fn a_publish_is_an_event_with_any_json_as_data() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    let values = [
        json!(null),
        json!({"deep": [1, {"x": [null, true]}], "ü": "☃", "quote": "\"\\\u{0}\u{2028}"}),
        json!([]),
        json!(-0.5),
        json!(9_007_199_254_740_993_i64),
        json!("text"),
    ];
    for (value, seq) in values.into_iter().zip(1..) {
        let publish = json!({"type": "publish", "room": "lobby", "event": "e", "data": value});
        assert_eq!(alice.write(publish).await["seq"], seq);
        for client in [&mut alice, &mut bob] {
            let event = client.expect("event").await;
            assert_eq!((&event["event"], &event["data"]), (&json!("e"), &value));
            assert_eq!((&event["room"], &event["seq"]), (&json!("lobby"), &json!(seq)));
            assert_eq!(event["user"], "alice");
            assert!(event["timestamp"].is_u64(), "{event}");
        }
    }
}

#[tokio::test]
async fn the_log_counts_every_kind_of_write_without_a_hole_and_signals_not_at_all() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    assert_eq!(alice.chat("lobby", "x").await["seq"], 1);
    let signal = json!({"type": "signal", "room": "lobby", "event": "e", "data": 1});
    alice.ask(signal, "ack").await;
    alice.ask(json!({"type": "typing", "room": "lobby", "active": true}), "ack").await;
    assert_eq!(bob.set("lobby", "k", json!(1)).await["seq"], 2);
    let publish = json!({"type": "publish", "room": "lobby", "event": "e", "data": 1});
    assert_eq!(alice.write(publish).await["seq"], 3);
    assert_eq!(bob.chat("lobby", "y").await["seq"], 4);
    assert_eq!(seqs(&log(&mut bob).await), [1, 2, 3, 4]);
    // A room counts for itself.
    alice.join("elsewhere").await;
    assert_eq!(alice.chat("elsewhere", "x").await["seq"], 1);
}

#[tokio::test]
async fn members_see_the_log_in_order_and_each_seq_once_whoever_writes() {
    let app = TestApp::spawn("limits.messages_per_second = 10000").await;
    const WRITERS: u64 = 4;
    const EACH: u64 = 100;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        tasks.push(app.member(&format!("writer-{writer}"), "lobby").await);
    }
    let mut reader = app.member("reader", "lobby").await;
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut acked = Vec::new();
                for number in 0..EACH {
                    acked.push(client.chat("lobby", &number.to_string()).await["seq"].clone());
                }
                // What a writer reads of the room is in order as well.
                for seq in 1..=WRITERS * EACH {
                    assert_eq!(client.expect("chat").await["seq"], seq);
                }
                acked
            })
        })
        .collect();
    for seq in 1..=WRITERS * EACH {
        assert_eq!(reader.expect("chat").await["seq"], seq);
    }
    let mut acked = Vec::new();
    for task in tasks {
        acked.extend(task.await.unwrap().into_iter().map(|seq| seq.as_u64().unwrap()));
    }
    acked.sort_unstable();
    assert_eq!(acked, (1..=WRITERS * EACH).collect::<Vec<_>>());
}

#[tokio::test]
async fn writes_of_one_session_keep_their_order() {
    let app = TestApp::spawn("limits.messages_per_second = 10000").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    const WRITES: u64 = 300;
    for number in 0..WRITES {
        // None waits for the one before it.
        let message = if number % 2 == 0 {
            json!({"type": "chat", "room": "lobby", "content": number.to_string(), "id": number})
        } else {
            json!({"type": "publish", "room": "lobby", "event": "e", "data": number, "id": number})
        };
        alice.send(&message).await;
    }
    for number in 0..WRITES {
        let ack = alice.until(|m| m["id"] == number).await;
        assert_eq!(ack["seq"], number + 1, "{ack}");
        let message = bob.until(|m| m["seq"] == number + 1).await;
        let told = message["content"].as_str().map(str::to_owned);
        assert_eq!(told.unwrap_or_else(|| message["data"].to_string()), number.to_string());
    }
}

#[tokio::test]
async fn a_nonce_outlives_the_history_of_its_room() {
    let app = TestApp::spawn("rooms.history_ttl = \"100ms\"").await;
    let mut alice = app.member("alice", "lobby").await;
    let first = alice.write(chat("once", "n")).await;
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    eventually("the message to expire", async || {
        (log(&mut alice).await == json!([])).then_some(())
    })
    .await;
    // Longer than any sweep of expired rooms, of which nothing tells.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    alice.join("lobby").await;
    let retry = alice.write(chat("once", "n")).await;
    assert_eq!(retry["duplicate"], true, "{retry}");
    assert_eq!((&retry["seq"], &retry["epoch"]), (&first["seq"], &first["epoch"]));
}

#[tokio::test]
async fn echo_false_leaves_out_the_sending_session_alone() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut phone = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    for (kind, message) in [
        ("chat", json!({"type": "chat", "room": "lobby", "content": "x", "echo": false})),
        (
            "event",
            json!({"type": "publish", "room": "lobby", "event": "e", "data": 1, "echo": false}),
        ),
    ] {
        alice.write(message).await;
        phone.expect(kind).await;
        bob.expect(kind).await;
    }
    let seen = alice.settle().await;
    assert!(!seen.iter().any(|m| m["type"] == "chat" || m["type"] == "event"), "{seen:?}");
    alice.write(json!({"type": "chat", "room": "lobby", "content": "y", "echo": true})).await;
    assert_eq!(alice.expect("chat").await["seq"], 3);
}

#[tokio::test]
async fn a_nonce_is_appended_once_and_the_retry_names_the_first_seq() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let first = alice.write(chat("once", "n1")).await;
    alice.chat("lobby", "between").await;

    let retry = alice.write(chat("once", "n1")).await;
    assert_eq!(retry["duplicate"], true, "{retry}");
    assert_eq!((&retry["seq"], &retry["epoch"]), (&first["seq"], &first["epoch"]));

    // From another connection of the user as well: that is what a retry is for.
    let mut again = app.member("alice", "lobby").await;
    let retry = again.write(chat("once", "n1")).await;
    assert_eq!((&retry["duplicate"], &retry["seq"]), (&json!(true), &first["seq"]));
    let publish = |nonce: &str| json!({"type": "publish", "room": "lobby", "event": "e", "data": 1, "nonce": nonce});
    let published = alice.write(publish("n2")).await;
    let retry = again.write(publish("n2")).await;
    assert_eq!((&retry["duplicate"], &retry["seq"]), (&json!(true), &published["seq"]));
    assert_eq!(seqs(&log(&mut alice).await), [1, 2, 3]);

    // Live, too, it came once.
    let mut live = again.settle().await;
    live.retain(|m| m["content"] == "once");
    assert_eq!(live.len(), 0, "{live:?}");
    let mut live = alice.settle().await;
    live.retain(|m| m["content"] == "once");
    assert_eq!(live.len(), 1, "{live:?}");
}

#[tokio::test]
async fn a_nonce_is_its_user_s_and_its_room_s_own() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    alice.join("elsewhere").await;
    assert_eq!(alice.write(chat("alice's", "n")).await["seq"], 1);
    assert_eq!(bob.write(chat("bob's", "n")).await["seq"], 2);
    let elsewhere = json!({"type": "chat", "room": "elsewhere", "content": "x", "nonce": "n"});
    assert_eq!(alice.write(elsewhere).await["seq"], 1);
    let longest = "🦀".repeat(64);
    assert_eq!(alice.write(chat("x", &longest)).await["seq"], 3);
}

#[tokio::test]
async fn a_nonce_is_shown_to_its_own_user_s_sessions_alone() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let start = crate::harness::since(&alice.join("lobby").await);
    let mut phone = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    alice.write(chat("x", "mine")).await;
    let publish =
        json!({"type": "publish", "room": "lobby", "event": "e", "data": 1, "nonce": "mine too"});
    alice.write(publish).await;
    for client in [&mut alice, &mut phone] {
        assert_eq!(client.expect("chat").await["nonce"], "mine");
        assert_eq!(client.expect("event").await["nonce"], "mine too");
    }
    assert!(bob.expect("chat").await.get("nonce").is_none());
    assert!(bob.expect("event").await.get("nonce").is_none());
    // The same in pages and in what a resume brings.
    assert_eq!(log(&mut phone).await[0]["nonce"], "mine");
    assert_eq!(phone.resume("lobby", &start).await["messages"][0]["nonce"], "mine");
    assert!(log(&mut bob).await[0].get("nonce").is_none());
    assert!(bob.resume("lobby", &start).await["messages"][0].get("nonce").is_none());
}

#[tokio::test]
async fn a_nonce_is_forgotten_after_the_dedup_window() {
    let app = TestApp::spawn("rooms.dedup_window = \"300ms\"").await;
    let mut alice = app.member("alice", "lobby").await;
    let first = alice.write(chat("x", "n")).await;
    let again = eventually("the window to pass", async || {
        // Asked seldom, so that a window that counts from the last retry ends too.
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        let ack = alice.write(chat("x", "n")).await;
        (ack["seq"] != first["seq"]).then_some(ack)
    })
    .await;
    assert_eq!(again["seq"], 2);
}
