use serde_json::Value;
use std::collections::VecDeque;
use tokio::io::AsyncReadExt;

use super::{Connect, Response, Stream, patiently};

/// An event as it came: its name where it has one, its `id` line where it has
/// one, and its data.
#[derive(Debug, Clone)]
pub struct Told {
    pub name: Option<String>,
    pub id: Option<String>,
    pub data: Value,
}

/// A client that listens to `GET /events`, and knows what a browser does with
/// it: the last `id`, the time to wait, comments.
pub struct Listener {
    stream: Stream,
    pub response: Response,
    /// What came, in the chunks that a proxy made of it.
    raw: Vec<u8>,
    buffer: Vec<u8>,
    pub welcome: Value,
    /// The last `id` that came.
    pub last_id: String,
    /// The last `retry` that came.
    pub retry: Option<u64>,
    /// How many comments came.
    pub comments: usize,
    backlog: VecDeque<Told>,
}

impl Listener {
    /// The stream of events, its `welcome` read.
    pub async fn open(connect: Connect) -> Self {
        match Self::attempt(connect).await {
            Ok(listener) => listener,
            Err(response) => panic!("the stream was refused: {response:?}"),
        }
    }

    pub async fn attempt(connect: Connect) -> Result<Self, Response> {
        let asked = patiently("the answer to /events", connect.ask("", 200)).await;
        let (stream, response, buffer) = asked.expect("the server takes connections")?;
        let mut listener = Self {
            stream,
            response,
            raw: buffer,
            buffer: Vec::new(),
            welcome: Value::Null,
            last_id: String::new(),
            retry: None,
            comments: 0,
            backlog: VecDeque::new(),
        };
        listener.welcome = listener.expect("welcome").await.data;
        Ok(listener)
    }

    pub fn session(&self) -> &str {
        self.welcome["session"].as_str().expect("a welcome names its session")
    }

    /// Takes what came out of its chunks, where it is in some.
    fn unpack(&mut self) {
        if self.response.header("transfer-encoding") != Some("chunked") {
            self.buffer.append(&mut self.raw);
            return;
        }
        while let Some(line) = self.raw.windows(2).position(|window| window == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).expect("the size of a chunk");
            let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
            let (start, end) = (line + 2, line + 2 + size);
            if self.raw.len() < end + 2 {
                return;
            }
            self.buffer.extend_from_slice(&self.raw[start..end]);
            self.raw.drain(..end + 2);
        }
    }

    /// The lines of the next block; none at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            self.unpack();
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8(block).expect("events are UTF-8"));
            }
            let read = patiently("more of the stream", self.stream.read_buf(&mut self.raw));
            if !read.await.is_ok_and(|read| read > 0) {
                return None;
            }
        }
    }

    /// The next event; none at the end of the stream, where an event that did not
    /// come whole is nothing.
    pub async fn try_next(&mut self) -> Option<Told> {
        loop {
            let block = self.block().await?;
            let mut told = Told { name: None, id: None, data: Value::Null };
            for line in block.lines().filter(|line| !line.is_empty()) {
                match line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")) {
                    ("", _) => self.comments += 1,
                    ("id", id) => told.id = Some(id.to_owned()),
                    ("event", name) => told.name = Some(name.to_owned()),
                    ("retry", wait) => self.retry = wait.parse().ok(),
                    ("data", data) => told.data = serde_json::from_str(data).expect("JSON"),
                    _ => panic!("a line that nobody knows: {line:?}"),
                }
            }
            if let Some(id) = &told.id {
                self.last_id.clone_from(id);
            }
            if told.data != Value::Null {
                return Some(told);
            }
        }
    }

    /// The first event that is `wanted`; what came before it stays.
    pub async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        if let Some(at) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(at).expect("the position was just found");
        }
        loop {
            let Some(told) = self.try_next().await else {
                panic!("the stream ended, after {:?}", self.backlog)
            };
            if wanted(&told) {
                return told;
            }
            self.backlog.push_back(told);
        }
    }

    /// The first message of this type.
    pub async fn expect(&mut self, kind: &str) -> Told {
        self.until(|told| told.data["type"] == kind).await
    }

    /// The reply to the message with this id.
    pub async fn reply(&mut self, id: &str) -> Value {
        self.until(|told| told.data["id"] == id).await.data
    }

    /// Waits until so many comments came; nothing else may.
    pub async fn until_comments(&mut self, count: usize) {
        while self.comments < count {
            let block = self.block().await.expect("the stream goes on");
            assert_eq!(block, ":\n\n");
            self.comments += 1;
        }
    }

    /// Reads to the end of the stream; gives the farewell.
    pub async fn closed(&mut self) -> Option<(u64, String)> {
        let mut last = self.backlog.pop_back();
        while let Some(told) = self.try_next().await {
            last = Some(told);
        }
        let last = last.filter(|told| told.name.as_deref() == Some("close"))?;
        let reason = last.data["reason"].as_str().expect("a reason");
        Some((last.data["code"].as_u64().expect("a code"), reason.to_owned()))
    }

    /// The connection breaks: what was not read is lost.
    pub fn cut(self) {
        self.stream
            .socket()
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("the option can be set");
    }
}
