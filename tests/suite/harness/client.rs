use serde_json::{Value, json};
use std::collections::VecDeque;

use super::{CLOSE, PATIENCE, PING, PONG, TEXT, Wire, patiently};

/// How a connection ended. Without a `code` TCP ended and no Close came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    pub code: Option<u16>,
    pub reason: String,
}

impl Close {
    pub fn assert(&self, code: u16, reason: &str) {
        assert_eq!((self.code, self.reason.as_str()), (Some(code), reason));
    }
}

/// The `since` that a `joined` (or an `ack`) gives its reader.
pub fn since(message: &Value) -> Value {
    json!({ "epoch": message["epoch"], "seq": message["seq"] })
}

/// Whether `message` is a presence diff in which `user` came.
pub fn came(message: &Value, user: &str) -> bool {
    message["type"] == "presence" && listed(&message["joined"], user)
}

/// Whether `message` is a presence diff in which `user` went.
pub fn went(message: &Value, user: &str) -> bool {
    message["type"] == "presence"
        && message["left"].as_array().is_some_and(|left| left.iter().any(|name| name == user))
}

/// Whether `user` is in a list of members.
pub fn listed(members: &Value, user: &str) -> bool {
    members.as_array().is_some_and(|list| list.iter().any(|member| member["user"] == user))
}

/// The `seq`s of a list of messages.
pub fn seqs(messages: &Value) -> Vec<u64> {
    let list = messages.as_array().unwrap_or_else(|| panic!("a list of messages, not {messages}"));
    list.iter().map(|message| message["seq"].as_u64().expect("a seq is a number")).collect()
}

/// A client of the JSON protocol. What it read while waiting for something else
/// stays in a backlog and is found by the next wait, so that a test depends on
/// the order of messages only where it says so with `next`.
pub struct Client {
    pub wire: Wire,
    pub welcome: Value,
    /// The Pings that the server sent so far.
    pub pings: usize,
    backlog: VecDeque<Value>,
    requests: u64,
    fence: Option<String>,
}

impl Client {
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            welcome: Value::Null,
            pings: 0,
            backlog: VecDeque::new(),
            requests: 0,
            fence: None,
        }
    }

    pub fn session(&self) -> &str {
        self.welcome["session"].as_str().expect("a welcome names its session")
    }

    pub async fn send(&mut self, message: &Value) {
        self.wire.send_text(&message.to_string()).await;
    }

    async fn read(&mut self) -> Result<Value, Close> {
        loop {
            let Some(frame) = self.wire.next().await else {
                return Err(Close { code: None, reason: String::new() });
            };
            match frame.opcode {
                TEXT => {
                    let message: Value =
                        serde_json::from_slice(&frame.payload).expect("a text frame is JSON");
                    assert!(message["type"].is_string(), "a message has a type: {message}");
                    return Ok(message);
                }
                PING => self.pings += 1,
                PONG => {}
                CLOSE => {
                    // The handshake is completed, and then TCP must end.
                    let _ = self.wire.try_send(&super::frame(true, CLOSE, &frame.payload)).await;
                    self.wire.ended().await;
                    let (code, reason) = frame.payload.split_at(frame.payload.len().min(2));
                    return Err(Close {
                        code: code.try_into().ok().map(u16::from_be_bytes),
                        reason: String::from_utf8(reason.to_vec()).expect("a reason is UTF-8"),
                    });
                }
                other => panic!("a frame with opcode {other} in a text protocol"),
            }
        }
    }

    /// The next message, whichever it is, or how the connection ended. Safe to
    /// cancel.
    pub async fn try_next(&mut self) -> Result<Value, Close> {
        match self.backlog.pop_front() {
            Some(message) => Ok(message),
            None => self.read().await,
        }
    }

    /// The next message, whichever it is.
    pub async fn next(&mut self) -> Value {
        self.try_next().await.unwrap_or_else(|close| panic!("a message was due, came {close:?}"))
    }

    /// The first message that is `wanted`.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        if let Some(at) = self.backlog.iter().position(&mut wanted) {
            return self.backlog.remove(at).expect("the position was just found");
        }
        let found = async {
            loop {
                match self.read().await {
                    Ok(message) if wanted(&message) => return message,
                    Ok(message) => self.backlog.push_back(message),
                    Err(close) => panic!("{close:?} came while waiting, after {:?}", self.backlog),
                }
            }
        };
        // Pings go on coming, so that no single read would notice.
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(message) => message,
            Err(_) => panic!("waited {PATIENCE:?} in vain, came {:?}", self.backlog),
        }
    }

    /// The first message of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.until(|message| message["type"] == kind).await
    }

    /// Sends `message` with an id of its own and gives the reply.
    pub async fn request(&mut self, mut message: Value) -> Value {
        self.requests += 1;
        let id = json!(format!("request-{}", self.requests));
        message["id"] = id.clone();
        self.send(&message).await;
        self.until(|reply| reply["id"] == id).await
    }

    /// A request that must be answered with `kind`.
    pub async fn ask(&mut self, message: Value, kind: &str) -> Value {
        let reply = self.request(message.clone()).await;
        assert_eq!(reply["type"], kind, "{message} was answered with {reply}");
        reply
    }

    /// A request that must be refused with `code`.
    pub async fn refused(&mut self, message: Value, code: &str) -> Value {
        let reply = self.ask(message.clone(), "error").await;
        assert_eq!(reply["code"], code, "{message} was answered with {reply}");
        let people = reply["message"].as_str().unwrap_or_default();
        assert!(!people.is_empty(), "an error has a message for people: {reply}");
        reply
    }

    pub async fn join(&mut self, room: &str) -> Value {
        self.ask(json!({"type": "join", "room": room}), "joined").await
    }

    pub async fn resume(&mut self, room: &str, since: &Value) -> Value {
        self.ask(json!({"type": "join", "room": room, "since": since}), "joined").await
    }

    /// Writes and gives the `ack`.
    pub async fn write(&mut self, message: Value) -> Value {
        let ack = self.ask(message, "ack").await;
        assert!(ack["seq"].is_u64(), "the ack of a write carries its seq: {ack}");
        ack
    }

    pub async fn chat(&mut self, room: &str, content: &str) -> Value {
        self.write(json!({"type": "chat", "room": room, "content": content})).await
    }

    pub async fn set(&mut self, room: &str, key: &str, value: Value) -> Value {
        self.write(json!({"type": "set", "room": room, "key": key, "value": value})).await
    }

    pub async fn history(&mut self, room: &str, extra: Value) -> Value {
        let mut message = json!({"type": "history", "room": room});
        for (key, value) in extra.as_object().expect("the extra fields are an object") {
            message[key] = value.clone();
        }
        self.ask(message, "history").await
    }

    pub async fn members(&mut self, room: &str) -> Value {
        self.ask(json!({"type": "presence", "room": room}), "members").await
    }

    /// Waits until the server has sent all that it already had for this client,
    /// on every lane, and gives the backlog: so a test can say what did *not*
    /// come. The latest lane is flushed as a whole, so a value of one's own that
    /// was set after another arrived shows that the lane was emptied between.
    pub async fn settle(&mut self) -> Vec<Value> {
        let fence = match &self.fence {
            Some(fence) => fence.clone(),
            None => {
                let fence = format!("fence:{}", self.session());
                self.join(&fence).await;
                self.fence.insert(fence).clone()
            }
        };
        for _ in 0..2 {
            let seq = self.set(&fence, "fence", json!("here")).await["seq"].clone();
            self.until(|m| m["type"] == "set" && m["room"] == fence && m["seq"] == seq).await;
        }
        self.history(&fence, json!({})).await;
        self.backlog.retain(|message| message["room"] != fence);
        self.backlog.drain(..).collect()
    }

    /// What was read and not asked for.
    pub fn take(&mut self) -> Vec<Value> {
        self.backlog.drain(..).collect()
    }

    /// Drops what was read and not asked for.
    pub fn forget(&mut self) {
        self.backlog.clear();
    }

    /// Reads until the connection has ended, Close and TCP.
    pub async fn closed(&mut self) -> Close {
        // Pings go on coming, so that no single read would notice.
        patiently("the end of the connection", async {
            loop {
                match self.read().await {
                    Ok(message) => self.backlog.push_back(message),
                    Err(close) => return close,
                }
            }
        })
        .await
    }

    /// Says goodbye with 1000 and waits for the end.
    pub async fn leave(mut self) {
        self.wire.send_close(1000, "").await;
        self.closed().await.assert(1000, "");
    }
}
