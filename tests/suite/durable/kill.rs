//! A node that is killed with SIGKILL again and again while clients write: the
//! same epochs, nothing lost that was acknowledged or shown, nothing twice.
//!
//! A run prints its seed; `ROOKERY_TEST_SEED` repeats the choices of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    Client, Directory, Endpoint, Process, Random, TEXT, frame, node_process, program,
};

const ROUNDS: u64 = 30;
const WRITERS: u64 = 6;
const ROOMS: [&str; 2] = ["lobby", "dash"];
/// Who is written to and comes last.
const RECIPIENT: &str = "bob";
/// How many writes a writer has on their way at once.
const WINDOW: usize = 6;

/// What anybody was told of the logs, which all have to agree on.
#[derive(Default)]
struct Told {
    epochs: BTreeMap<String, Value>,
    /// By log and place: the text of the entry.
    entries: BTreeMap<(String, u64), String>,
}

impl Told {
    fn epoch(&mut self, log: &str, epoch: &Value) {
        let known = self.epochs.entry(log.to_owned()).or_insert_with(|| epoch.clone());
        assert_eq!(known, epoch, "{log} began anew");
    }

    fn entry(&mut self, log: &str, seq: u64, text: &str) {
        let known =
            self.entries.entry((log.to_owned(), seq)).or_insert_with(|| text.to_owned()).clone();
        assert_eq!(known, text, "{log} has two entries at {seq}");
    }
}

/// One user: writes to both rooms and to an inbox, and reads the rooms.
struct Writer {
    name: String,
    random: Random,
    told: Arc<Mutex<Told>>,
    /// Up to where each room was read.
    positions: BTreeMap<String, u64>,
    written: u64,
    /// Numbers of writes that were sent and not answered.
    pending: BTreeSet<u64>,
    /// By number: the place.
    acknowledged: BTreeMap<u64, u64>,
    duplicates: u64,
}

/// The log that a write of this number goes to; the text is its nonce.
fn log_of(number: u64) -> String {
    match number % 4 {
        0 => format!("@{RECIPIENT}"),
        1 => ROOMS[1].to_owned(),
        _ => ROOMS[0].to_owned(),
    }
}

impl Writer {
    fn text(&self, number: u64) -> String {
        format!("{}/{number}", self.name)
    }

    fn message(&self, number: u64) -> Value {
        let (log, text) = (log_of(number), self.text(number));
        let mut message = match number % 4 {
            0 => json!({"type": "direct", "to": RECIPIENT, "content": text}),
            1 => {
                json!({"type": "set", "room": log, "key": format!("k{}", number % 3), "value": text})
            }
            _ => json!({"type": "chat", "room": log, "content": text}),
        };
        message["nonce"] = json!(text);
        message["id"] = json!(number);
        message
    }

    /// Until the node is killed. The end of the connection ends it at any point.
    async fn work(mut self, server: Endpoint) -> Self {
        let _ = self.try_work(server).await;
        self
    }

    async fn try_work(&mut self, server: Endpoint) -> Option<()> {
        let mut client = Client::new(server.connect(&self.name).attempt().await.ok()?.ok()?);
        for room in ROOMS {
            let mut join = json!({"type": "join", "room": room});
            if let Some(seq) = self.positions.get(room) {
                let epoch = self.told.lock().expect("no panic").epochs[room].clone();
                join["since"] = json!({"epoch": epoch, "seq": seq});
            }
            send(&mut client, &join).await?;
            let joined = loop {
                let message = client.try_next().await.ok()?;
                if message["type"] == "joined" {
                    break message;
                }
                self.read(&message);
            };
            self.joined(room, &joined);
        }
        for number in self.pending.clone() {
            send(&mut client, &self.message(number)).await?;
        }
        loop {
            while self.pending.len() < WINDOW {
                self.written += 1;
                self.pending.insert(self.written);
                send(&mut client, &self.message(self.written)).await?;
                // Now and then one that is long known.
                if self.random.within(0..16) == 0 && !self.acknowledged.is_empty() {
                    let known = self.random.within(0..self.acknowledged.len() as u64);
                    let number = *self.acknowledged.keys().nth(known as usize)?;
                    send(&mut client, &self.message(number)).await?;
                }
            }
            let message = client.try_next().await.ok()?;
            self.read(&message);
        }
    }

    fn joined(&mut self, room: &str, joined: &Value) {
        let known = self.positions.get(room).copied();
        let end = joined["seq"].as_u64().expect("a seq");
        self.told.lock().expect("no panic").epoch(room, &joined["epoch"]);
        if let Some(known) = known {
            assert_eq!(joined["recovered"], true, "{} after {known}: {joined}", self.name);
            assert!(end >= known, "{} was shown more of {room} than there is", self.name);
            let messages = joined["messages"].as_array().expect("messages");
            assert_eq!(messages.len() as u64, end - known, "{joined}");
            for message in messages {
                self.read(message);
            }
        }
        self.positions.insert(room.to_owned(), end);
    }

    fn read(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some(kind @ ("chat" | "set")) => {
                let room = message["room"].as_str().expect("a room");
                let seq = message["seq"].as_u64().expect("a seq");
                let text = if kind == "chat" { &message["content"] } else { &message["value"] };
                self.told.lock().expect("no panic").entry(room, seq, text.as_str().expect("text"));
                let position = self.positions.entry(room.to_owned()).or_default();
                if kind == "chat" && room == ROOMS[0] {
                    assert_eq!(seq, *position + 1, "{} reads {room}", self.name);
                }
                // A `set` may come late, and stand for those before it.
                *position = seq.max(*position);
            }
            Some("ack") => {
                let number = message["id"].as_u64().expect("the id that was sent");
                let seq = message["seq"].as_u64().expect("the ack of a write has a seq");
                let log = log_of(number);
                let mut told = self.told.lock().expect("no panic");
                told.epoch(&log, &message["epoch"]);
                told.entry(&log, seq, &self.text(number));
                self.duplicates += u64::from(message["duplicate"] == true);
                if !self.pending.remove(&number) {
                    assert_eq!(message["duplicate"], true, "a nonce is forgotten: {message}");
                }
                let earlier = self.acknowledged.insert(number, seq);
                assert!(earlier.is_none_or(|earlier| earlier == seq), "{number} has two places");
            }
            // The copy of an own direct message; and who else is there.
            Some("direct" | "presence" | "welcome") => {}
            _ => panic!("{} did not ask for {message}", self.name),
        }
    }
}

async fn send(client: &mut Client, message: &Value) -> Option<()> {
    client.wire.try_send(&frame(true, TEXT, message.to_string().as_bytes())).await.ok()
}

fn settings(path: &str) -> [(&str, &str); 6] {
    [
        ("ROOKERY__SERVER__WORKERS", "2"),
        ("ROOKERY__BROKER__PATH", path),
        ("ROOKERY__INBOX__SIZE", "100000"),
        ("ROOKERY__ROOMS__HISTORY_SIZE", "100000"),
        ("ROOKERY__ROOMS__DEDUP_ENTRIES", "100000"),
        ("ROOKERY__OUTBOUND__COALESCE", "10ms"),
    ]
}

/// A log as a client reads it at the end: text by place.
async fn read_log(client: &mut Client, room: &str) -> Vec<Value> {
    let mut log: Vec<Value> = Vec::new();
    loop {
        let page = client.history(room, json!({"after": log.len(), "limit": 1_000})).await;
        log.extend(page["messages"].as_array().expect("messages").iter().cloned());
        if page["more"] == false {
            return log;
        }
    }
}

#[tokio::test]
async fn a_node_that_is_killed_again_and_again_comes_back_with_all() {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let directory = Directory::new();
    let path = directory.path().display().to_string();
    let told = Arc::new(Mutex::new(Told::default()));
    let writer = |number: u64| Writer {
        name: format!("w{number}"),
        random: Random::new(seed.wrapping_add(number + 1)),
        told: Arc::clone(&told),
        positions: BTreeMap::new(),
        written: 0,
        pending: BTreeSet::new(),
        acknowledged: BTreeMap::new(),
        duplicates: 0,
    };
    let mut writers: Vec<Writer> = (0..WRITERS).map(writer).collect();
    for round in 0..ROUNDS {
        if round % 5 == 4 {
            // Killed while it reads what is there, or makes it.
            let here = Directory::new();
            let listen = [("ROOKERY__SERVER__LISTEN", "127.0.0.1:0")];
            let mut command = program(&here, &[], &[&settings(&path)[..], &listen].concat());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_micros(random.within(0..40_000))).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let mut process = node_process("", "n1", &settings(&path)).await;
        let server = *process;
        let tasks: Vec<_> = writers.drain(..).map(|it| tokio::spawn(it.work(server))).collect();
        // The moment at which it is killed.
        tokio::time::sleep(Duration::from_micros(random.within(0..250_000))).await;
        process.signal("KILL");
        process.exited().await;
        for task in tasks {
            writers.push(task.await.expect("a writer's checks fail"));
        }
    }

    let process: Process = node_process("", "n1", &settings(&path)).await;
    for writer in &mut writers {
        let mut client = process.client(&writer.name).await;
        for room in ROOMS {
            client.join(room).await;
        }
        // What was not answered is sent again, and some of what was.
        let known = writer.acknowledged.keys().rev().step_by(7).copied().take(20);
        for number in writer.pending.clone().into_iter().chain(known.collect::<Vec<_>>()) {
            send(&mut client, &writer.message(number)).await.expect("the connection is open");
            let ack = client.until(|message| message["id"] == number).await;
            assert_eq!(ack["type"], "ack", "{ack}");
            writer.read(&ack);
        }
    }

    // The logs as they are now agree with all that anybody was told of them.
    let mut judge = process.client("judge").await;
    let mut logs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for room in ROOMS {
        let joined = judge.join(room).await;
        let log = read_log(&mut judge, room).await;
        assert_eq!(joined["seq"], log.len() as u64);
        let mut state: BTreeMap<&str, Value> = BTreeMap::new();
        let mut texts = Vec::new();
        for (at, entry) in log.iter().enumerate() {
            assert_eq!(entry["seq"], at as u64 + 1, "{room} has a hole");
            if let Some(key) = entry["key"].as_str() {
                state.insert(key, json!({"value": entry["value"], "version": entry["seq"]}));
            }
            let text = if entry["type"] == "set" { &entry["value"] } else { &entry["content"] };
            texts.push(text.as_str().expect("text").to_owned());
        }
        assert_eq!(joined["state"], json!(state), "the state is not the fold of the log");
        told.lock().expect("no panic").epoch(room, &joined["epoch"]);
        logs.insert(room.to_owned(), texts);
    }
    let mut bob = process.client(RECIPIENT).await;
    let mut inbox = bob.settle().await;
    inbox.retain(|message| message["type"] == "direct");
    for (at, entry) in inbox.iter().enumerate() {
        assert_eq!(entry["seq"], at as u64 + 1, "the inbox has a hole");
    }
    let text = |message: &Value| message["content"].as_str().expect("text").to_owned();
    logs.insert(format!("@{RECIPIENT}"), inbox.iter().map(text).collect());

    let told = told.lock().expect("no panic");
    for ((log, seq), text) in &told.entries {
        assert_eq!(logs[log].get(*seq as usize - 1), Some(text), "{log} at {seq}");
    }
    for texts in logs.values() {
        let once: BTreeSet<&String> = texts.iter().collect();
        assert_eq!(once.len(), texts.len(), "a message stands in a log twice");
    }
    let sum = |figure: fn(&Writer) -> u64| writers.iter().map(figure).sum::<u64>();
    let written = sum(|writer| writer.acknowledged.len() as u64);
    let there: usize = logs.values().map(Vec::len).sum();
    assert_eq!(written, there as u64, "each write is in its log");
    assert!(written > ROUNDS, "nothing was tested");
    println!("{ROUNDS} kills, {written} writes, {} duplicates", sum(|writer| writer.duplicates));
}
