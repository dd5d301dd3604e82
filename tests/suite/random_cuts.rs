//! 10,000 messages from 20 concurrent senders to one room, over sockets that
//! are cut at random. What is promised: every acknowledged message reaches
//! every member exactly once and in the order of `seq`.
//!
//! A run prints its seed; `ROOKERY_TEST_SEED` repeats the choices of a run.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Certificates, Client, Endpoint, Random, TEXT, TestApp, frame, since};

const SENDERS: u64 = 20;
const EACH: u64 = 500;
const TOTAL: u64 = SENDERS * EACH;
/// How many messages a sender has on their way at once.
const WINDOW: usize = 8;

/// One user: sends its share, reads everything, loses its connection again and
/// again.
struct Sender {
    server: Endpoint,
    name: String,
    random: Random,
    /// The last session, to be taken over now and then.
    session: Option<String>,
    /// Where the log was read up to, once the room has been joined.
    position: Option<Value>,
    /// The log as it was read, from 1 on.
    log: Vec<(String, String)>,
    unsent: u64,
    /// Sent, perhaps more than once, and not acknowledged.
    pending: BTreeSet<u64>,
    /// Number to acknowledged seq.
    acknowledged: BTreeMap<u64, u64>,
    cuts: u64,
    duplicates: u64,
}

impl Sender {
    fn new(server: Endpoint, number: u64, seed: u64) -> Self {
        Self {
            server,
            name: format!("sender-{number}"),
            random: Random::new(seed.wrapping_add(number)),
            session: None,
            position: None,
            log: Vec::new(),
            unsent: 0,
            pending: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            cuts: 0,
            duplicates: 0,
        }
    }

    fn chat(&self, number: u64) -> Value {
        let nonce = format!("{}/{number}", self.name);
        json!({"type": "chat", "room": "lobby", "content": nonce, "nonce": nonce, "id": number})
    }

    fn done(&self) -> bool {
        self.log.len() as u64 == TOTAL && self.acknowledged.len() as u64 == EACH
    }

    fn read(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("chat") => {
                assert_eq!(
                    message["seq"],
                    self.log.len() as u64 + 1,
                    "{} reads {message}",
                    self.name
                );
                let text = |field: &str| message[field].as_str().expect("text").to_owned();
                self.log.push((text("user"), text("content")));
                assert!(self.log.len() as u64 <= TOTAL, "something was appended twice");
                if let Some(position) = &mut self.position {
                    position["seq"] = message["seq"].clone();
                }
            }
            Some("ack") => {
                let number = message["id"].as_u64().expect("the id that was sent");
                let seq = message["seq"].as_u64().expect("the ack of a write has a seq");
                self.pending.remove(&number);
                self.duplicates += u64::from(message["duplicate"] == true);
                let earlier = self.acknowledged.insert(number, seq);
                assert!(earlier.is_none_or(|earlier| earlier == seq), "{number} has two seqs");
            }
            Some("presence") => {}
            _ => panic!("{} did not ask for {message}", self.name),
        }
    }

    async fn connect(&mut self) -> Client {
        let mut connect = self.server.connect(&self.name);
        if let (Some(session), true) = (&self.session, self.random.within(0..2) == 0) {
            connect = connect.query("session", session);
        }
        let mut client = connect.client().await;
        self.session = Some(client.session().to_owned());
        match self.position.clone() {
            None => {
                let joined = client.join("lobby").await;
                assert_eq!(joined["seq"], 0, "all join before the first message");
                self.position = Some(since(&joined));
            }
            Some(position) => {
                let joined = client.resume("lobby", &position).await;
                assert_eq!(joined["recovered"], true, "{joined}");
                for message in joined["messages"].as_array().expect("a list of messages") {
                    self.read(message);
                }
                assert_eq!(joined["seq"], self.log.len() as u64);
            }
        }
        client
    }

    /// Goes on until the connection is to be cut, or all is done.
    async fn work(&mut self, client: &mut Client) {
        for number in self.pending.clone() {
            client.send(&self.chat(number)).await;
        }
        for _ in 0..self.random.within(1..400) {
            while self.pending.len() < WINDOW && self.unsent < EACH {
                client.send(&self.chat(self.unsent)).await;
                self.pending.insert(self.unsent);
                self.unsent += 1;
            }
            if self.done() {
                return;
            }
            match client.try_next().await {
                Ok(message) => self.read(&message),
                // A reader the machine left behind is disconnected as it should
                // be, which is one more cut.
                Err(close) => return close.assert(1013, "slow_consumer"),
            }
        }
    }

    /// Cuts the connection, at times in the midst of a frame.
    async fn cut(&mut self, mut client: Client) {
        if self.random.within(0..3) == 0 && self.unsent < EACH {
            let whole = frame(true, TEXT, self.chat(self.unsent).to_string().as_bytes());
            let part = self.random.within(1..whole.len() as u64) as usize;
            let _ = client.wire.try_send(&whole[..part]).await;
        }
        if self.random.within(0..2) == 0 {
            client.wire.cut();
        } // else dropped: a FIN, or an RST where something was not read.
        self.cuts += 1;
    }

    async fn run(mut self, mut client: Client) -> Self {
        loop {
            self.work(&mut client).await;
            if self.done() {
                return self;
            }
            self.cut(client).await;
            client = self.connect().await;
        }
    }
}

const SETTINGS: &str = "limits.messages_per_second = 100000\nlimits.connects_per_second = 100000\n\
                        rooms.history_size = 20000\nrooms.history_bytes = 100000000";

#[tokio::test]
async fn every_acknowledged_message_reaches_every_member_exactly_once_in_order() {
    run(TestApp::spawn(SETTINGS).await).await;
}

#[tokio::test]
async fn the_same_holds_over_tls() {
    run(TestApp::spawn_tls(&Certificates::new(), SETTINGS).await).await;
}

async fn run(app: TestApp) {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed}");
    // All are members before the first message, so that all owe all of them.
    let mut joined = Vec::new();
    for number in 0..SENDERS {
        let mut sender = Sender::new(*app, number, seed);
        let client = sender.connect().await;
        joined.push((sender, client));
    }
    let tasks: Vec<_> =
        joined.into_iter().map(|(sender, client)| tokio::spawn(sender.run(client))).collect();
    let mut senders = Vec::new();
    for task in tasks {
        senders.push(task.await.expect("a sender's checks fail"));
    }

    let log = &senders[0].log;
    let distinct: BTreeSet<_> = log.iter().map(|(_, content)| content).collect();
    assert_eq!(distinct.len() as u64, TOTAL, "a message stands in the log twice");
    for sender in &senders {
        assert!(sender.log == *log, "{} read another log", sender.name);
        for (number, seq) in &sender.acknowledged {
            let (user, content) = &log[*seq as usize - 1];
            assert_eq!((user, content), (&sender.name, &format!("{}/{number}", sender.name)));
        }
    }
    let mut end = app.client("judge").await;
    assert_eq!(end.join("lobby").await["seq"], TOTAL, "more was appended than was sent");
    let sum = |figure: fn(&Sender) -> u64| senders.iter().map(figure).sum::<u64>();
    println!(
        "{TOTAL} messages, {} connections cut, {} writes acknowledged as duplicates",
        sum(|s| s.cuts),
        sum(|s| s.duplicates)
    );
}
