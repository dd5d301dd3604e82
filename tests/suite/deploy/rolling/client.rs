use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::harness::{Client, Endpoint, TEXT, frame, patiently};

/// How long a writer rests between two writes.
const REST: Duration = Duration::from_millis(150);
/// How many writes may wait for their acks.
const UNDER_WAY: usize = 4;
/// How long a client waits before it tries again what was refused.
const RETRY: Duration = Duration::from_millis(100);

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Write,
    Listen,
    Leave,
}

/// How far a client is, for others to wait for.
#[derive(Default)]
pub struct Progress {
    /// Connected, and in all of its rooms.
    pub is_here: bool,
    pub acknowledged: usize,
    pub pending: usize,
    /// The last `seq` of each of its rooms.
    pub seen: BTreeMap<String, u64>,
}

/// A time that a client was sent away.
#[derive(Debug, Clone)]
pub struct Returned {
    pub node: String,
    /// How long `closing` told it to wait.
    pub told: Duration,
    /// When it connected again, after `closing`.
    pub came: Duration,
    /// When it was in all of its rooms again, after `closing`.
    pub away: Duration,
}

/// A message of a log as a client was told it.
pub type Heard = (u64, String);

/// What a client was told of a room.
pub struct Told {
    /// Where the log ended when it came.
    pub after: u64,
    /// What it was told since, the messages of `joined` among it.
    pub messages: Vec<Heard>,
}

/// What a client did and saw.
pub struct Record {
    pub user: String,
    /// What it was told of each room.
    pub heard: BTreeMap<String, Told>,
    /// What it has acks for, and at which place.
    pub acknowledged: Vec<(String, Heard)>,
    pub returned: Vec<Returned>,
}

struct Write {
    room: String,
    text: String,
}

/// A client as `rookery.js` is one: it comes back when it is told to, takes over its
/// session, resumes each room where it was, and sends again what has no ack, with
/// its nonce.
struct Live {
    record: Record,
    rooms: [String; 2],
    /// Where each room was last seen; without one it was never joined.
    positions: BTreeMap<String, (String, u64)>,
    /// The rooms joined on this connection.
    joined: Vec<String>,
    pending: VecDeque<Write>,
    written: usize,
    session: Option<String>,
    node: String,
    closing: Option<(Instant, Duration)>,
    /// When `closing` came, and what is known of the return since.
    coming_back: Option<(Instant, Returned)>,
}

/// Lives until it shall leave.
pub async fn live(
    door: Endpoint,
    user: String,
    rooms: [String; 2],
    phase: watch::Receiver<Phase>,
    progress: Arc<Mutex<Progress>>,
) -> Record {
    let record =
        Record { user, heard: BTreeMap::new(), acknowledged: Vec::new(), returned: Vec::new() };
    let mut live = Live {
        record,
        rooms,
        positions: BTreeMap::new(),
        joined: Vec::new(),
        pending: VecDeque::new(),
        written: 0,
        session: None,
        node: String::new(),
        closing: None,
        coming_back: None,
    };
    loop {
        let mut client = live.connect(&door).await;
        if live.serve(&mut client, &phase, &progress).await {
            return live.record;
        }
        progress.lock().expect("no panic").is_here = false;
        let (told_at, after) = live.closing.take().expect("nobody is cut without a word");
        sleep_until(told_at + after).await;
        let (node, came) = (live.node.clone(), told_at.elapsed());
        let returned = Returned { node, told: after, came, away: Duration::MAX };
        live.coming_back = Some((told_at, returned));
    }
}

impl Live {
    async fn connect(&mut self, door: &Endpoint) -> Client {
        let mut connect = door.connect(&self.record.user);
        if let Some(session) = &self.session {
            connect = connect.query("session", session);
        }
        let client = patiently("a connection", async {
            loop {
                match connect.clone().attempt().await {
                    Ok(Ok(wire)) => return Client::new(wire),
                    // The proxy has another node to ask.
                    Ok(Err(refusal)) => panic!("{} was refused: {refusal:?}", self.record.user),
                    Err(_) => sleep(RETRY).await,
                }
            }
        });
        let mut client = client.await;
        client.welcome = client.next().await;
        assert_eq!(client.welcome["type"], "welcome", "{}", client.welcome);
        self.session = Some(client.session().to_owned());
        self.node = client.welcome["node"].as_str().expect("a node has a name").to_owned();
        self.joined.clear();
        for room in &self.rooms {
            let mut join = json!({"type": "join", "room": room});
            if let Some((epoch, seq)) = self.positions.get(room) {
                join["since"] = json!({"epoch": epoch, "seq": seq});
            }
            send(&mut client, &join).await;
        }
        client
    }

    /// True where it shall leave, false where it was sent away.
    async fn serve(
        &mut self,
        client: &mut Client,
        phase: &watch::Receiver<Phase>,
        progress: &Mutex<Progress>,
    ) -> bool {
        let mut due = Instant::now() + REST;
        loop {
            tokio::select! {
                message = client.try_next() => match message {
                    Ok(message) => self.hear(client, &message).await,
                    Err(close) => {
                        assert!(matches!(close.code, Some(1001) | None), "{close:?}");
                        return false;
                    }
                },
                () = sleep_until(due) => {
                    due = Instant::now() + REST;
                    let phase = *phase.borrow();
                    match phase {
                        Phase::Write => self.write(client).await,
                        Phase::Listen => {}
                        Phase::Leave => return true,
                    }
                }
            }
            self.publish(&mut progress.lock().expect("no panic"));
        }
    }

    fn publish(&self, progress: &mut Progress) {
        progress.is_here = self.joined.len() == self.rooms.len() && self.closing.is_none();
        progress.acknowledged = self.record.acknowledged.len();
        progress.pending = self.pending.len();
        progress.seen =
            self.positions.iter().map(|(room, (_, seq))| (room.clone(), *seq)).collect();
    }

    async fn write(&mut self, client: &mut Client) {
        if self.joined.len() < self.rooms.len() || self.pending.len() >= UNDER_WAY {
            return;
        }
        let room = self.rooms[self.written % 2].clone();
        let text = format!("{}/{}", self.record.user, self.written);
        self.written += 1;
        let write = Write { room, text };
        send(client, &write.message()).await;
        self.pending.push_back(write);
    }

    async fn hear(&mut self, client: &mut Client, message: &Value) {
        match message["type"].as_str().expect("a message has a type") {
            "joined" => self.hear_joined(client, message).await,
            "chat" => self.note(message),
            "ack" => self.hear_ack(message),
            "closing" => {
                assert_eq!(message["reconnect"], true, "{message}");
                let after = message["after_ms"].as_u64().expect("after_ms is a number");
                self.closing = Some((Instant::now(), Duration::from_millis(after)));
            }
            "presence" => {}
            _ => panic!("{} was told {message}", self.record.user),
        }
    }

    async fn hear_joined(&mut self, client: &mut Client, joined: &Value) {
        let room = joined["room"].as_str().expect("a room").to_owned();
        let epoch = joined["epoch"].as_str().expect("an epoch").to_owned();
        let end = joined["seq"].as_u64().expect("a seq");
        match self.positions.get(&room) {
            Some((before, _)) => {
                assert_eq!((&joined["recovered"], before), (&json!(true), &epoch), "{joined}");
            }
            None => {
                let told = Told { after: end, messages: Vec::new() };
                self.record.heard.insert(room.clone(), told);
                self.positions.insert(room.clone(), (epoch, end));
            }
        }
        for message in joined["messages"].as_array().expect("messages") {
            self.note(message);
        }
        assert_eq!(self.positions[&room].1, end, "`messages` end where `joined` says");
        self.joined.push(room);
        if self.joined.len() == self.rooms.len() {
            if let Some((told_at, returned)) = self.coming_back.take() {
                self.record.returned.push(Returned { away: told_at.elapsed(), ..returned });
            }
            // In the order in which they were written.
            for write in &self.pending {
                send(client, &write.message()).await;
            }
        }
    }
}

impl Live {
    /// A message of a log comes where the one before it ended.
    fn note(&mut self, message: &Value) {
        let room = message["room"].as_str().expect("a room");
        let seq = message["seq"].as_u64().expect("a seq");
        let content = message["content"].as_str().expect("a content").to_owned();
        let told = self.record.heard.get_mut(room).expect("a message comes after `joined`");
        told.messages.push((seq, content));
        self.positions.get_mut(room).expect("a joined room has a position").1 = seq;
    }

    /// Acks come in the order of the writes.
    fn hear_ack(&mut self, ack: &Value) {
        let write = self.pending.pop_front().expect("an ack is for a write");
        assert_eq!(ack["id"], write.text, "{ack}");
        let seq = ack["seq"].as_u64().expect("a seq");
        self.record.acknowledged.push((write.room, (seq, write.text)));
    }
}

impl Write {
    fn message(&self) -> Value {
        let Self { room, text } = self;
        json!({"type": "chat", "room": room, "content": text, "nonce": text, "id": text})
    }
}

/// Sends; where the connection has ended, reading says so.
async fn send(client: &mut Client, message: &Value) {
    let _ = client.wire.try_send(&frame(true, TEXT, message.to_string().as_bytes())).await;
}
