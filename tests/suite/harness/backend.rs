use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{eventually, http::read_head};

/// A call as the backend got it.
#[derive(Debug, Clone)]
pub struct Call {
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Call {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The events that it tells.
    pub fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().expect("a call tells events").clone()
    }
}

/// How the backend answers a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With this status and body.
    Status(u16, String),
    /// Not at all, until the caller gives up.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Status(status, String::new())
    }

    pub fn json(body: &Value) -> Self {
        Self::Status(200, body.to_string())
    }
}

type Answer = Box<dyn FnMut(&Call) -> Reply + Send>;

/// An HTTP server that is told and asked, and remembers. It takes what it
/// answers with a 2xx.
pub struct Backend {
    port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    /// All calls, and whether each was taken.
    calls: Mutex<Vec<(Call, bool)>>,
    answer: Mutex<Answer>,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Vec<(Call, bool)>> {
        self.calls.lock().expect("nobody panics holding it")
    }
}

impl Backend {
    /// One that takes every call.
    pub async fn start() -> Self {
        Self::answering(|_| Reply::status(200)).await
    }

    /// One that answers in this way.
    pub async fn answering(answer: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared =
            Arc::new(Shared { calls: Mutex::default(), answer: Mutex::new(Box::new(answer)) });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        Self { port, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks?from=tests", self.port)
    }

    /// From now on it answers in this way.
    pub fn answer(&self, answer: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.shared.answer.lock().expect("nobody panics holding it") = Box::new(answer);
    }

    /// All calls so far, those that were not taken among them.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls().iter().map(|(call, _)| call.clone()).collect()
    }

    /// What each id stands for; it always stands for the same.
    pub fn events_by_id(&self) -> HashMap<String, Value> {
        let mut known = HashMap::new();
        for event in self.calls().iter().flat_map(Call::events) {
            let id = event["id"].as_str().expect("an event has an id").to_owned();
            if let Some(before) = known.insert(id, event.clone()) {
                assert_eq!(before, event, "one id, one event");
            }
        }
        known
    }

    /// The events that were taken, each where it came first.
    pub fn events(&self) -> Vec<Value> {
        let mut seen = std::collections::HashSet::new();
        let calls = self.shared.calls();
        let taken = calls.iter().filter(|(_, taken)| *taken).flat_map(|(call, _)| call.events());
        taken.filter(|event| seen.insert(event["id"].clone())).collect()
    }

    /// The same in short: `room_occupied lobby`, `member_joined lobby alice`.
    pub fn told(&self) -> Vec<String> {
        self.events().iter().map(short).collect()
    }

    /// Waits until just these were told since the server came up.
    pub async fn until_told(&self, expected: &[&str]) {
        let mut last = Vec::new();
        let waiting = eventually("the events", async || {
            last = self.told();
            (last == expected).then_some(())
        });
        if tokio::time::timeout(super::PATIENCE / 2, waiting).await.is_err() {
            panic!("expected {expected:#?}, were told {:#?}", self.told());
        }
    }
}

/// An event in short.
fn short(event: &Value) -> String {
    let field = |name: &str| event[name].as_str().map(|text| format!(" {text}"));
    let more = [field("room"), field("user"), field("content")];
    format!(
        "{}{}",
        event["type"].as_str().expect("a type"),
        more.into_iter().flatten().collect::<String>()
    )
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok((head, mut body)) = read_head(&mut stream).await {
        let headers: Vec<(String, String)> = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        while body.len() < length {
            if !stream.read_buf(&mut body).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        let call = Call { headers, body: String::from_utf8(body).expect("a body is UTF-8") };
        let reply = (shared.answer.lock().expect("nobody panics holding it"))(&call);
        let taken = matches!(&reply, Reply::Status(200..300, _));
        shared.calls().push((call, taken));
        let Reply::Status(status, body) = reply else {
            // Until the caller closes.
            let _ = stream.read_u8().await;
            return;
        };
        let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}
