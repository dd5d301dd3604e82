//! One connection, once it is there.

use std::{collections::HashMap, io};

use actix_codec::Framed;
use actix_http::ws::{self, CloseCode, Frame, Item};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::model::RoomName;

/// The longest message taken: the state of a large room is one.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What a server tells, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told {
    Joined {
        state: HashMap<String, Entry>,
    },
    Ack {
        id: u64,
    },
    Online {
        users: HashMap<String, String>,
    },
    Error {
        id: Option<u64>,
        code: String,
        message: String,
        retry_after_ms: Option<u64>,
    },
    Closing {
        reason: String,
        after_ms: u64,
    },
    #[serde(other)]
    Other,
}

/// A value of a room's shared state.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) value: Value,
}

/// What a client asks.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Ask<'a> {
    Join { id: u64, room: &'a RoomName, listen: bool },
    Watch { id: u64, users: &'a [String] },
}

/// What it writes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Put<'a, T> {
    Set {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomName,
        key: &'a str,
        value: T,
    },
    Publish {
        room: &'a RoomName,
        event: &'a str,
        data: T,
    },
}

/// The connection is over, in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Ended(String);

impl Ended {
    /// The server refused what the client cannot do without.
    pub(super) fn refused(code: &str, message: &str) -> Self {
        Self(format!("{code}: {message}"))
    }
}

/// A WebSocket of a client.
pub(super) struct Socket {
    framed: Framed<TcpStream, ws::Codec>,
    /// The fragments so far of a message that is sent in several.
    partial: BytesMut,
}

impl Socket {
    pub(super) fn new<C>(framed: Framed<TcpStream, C>) -> Self {
        let codec = |_| ws::Codec::new().max_size(MESSAGE_BYTES).client_mode();
        Self { framed: framed.into_map_codec(codec), partial: BytesMut::new() }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), Ended> {
        let text = serde_json::to_string(message).map_err(|error| Ended(error.to_string()))?;
        self.write(ws::Message::Text(text.into())).await
    }

    /// The next message. Answers Pings on the way. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Told, Ended> {
        loop {
            let frame = self.framed.next().await;
            let frame = frame.ok_or_else(|| Ended("the server closed it".to_owned()))?;
            match frame.map_err(|error| Ended(error.to_string()))? {
                Frame::Text(text) => return read(&text),
                Frame::Continuation(item) => {
                    if let Some(text) = self.join(item)? {
                        return read(&text);
                    }
                }
                Frame::Ping(payload) => self.write(ws::Message::Pong(payload)).await?,
                Frame::Close(reason) => {
                    let reason = reason.map(|it| (u16::from(it.code), it.description));
                    return Err(Ended(match reason {
                        Some((code, Some(why))) => format!("{code} {why}"),
                        Some((code, None)) => code.to_string(),
                        None => "the server closed it".to_owned(),
                    }));
                }
                Frame::Binary(_) | Frame::Pong(_) => {}
            }
        }
    }

    /// Says goodbye and waits until the server has.
    pub(super) async fn close(mut self) {
        let reason = ws::CloseReason::from(CloseCode::Normal);
        if self.write(ws::Message::Close(Some(reason))).await.is_ok() {
            while self.next().await.is_ok() {}
        }
    }

    fn join(&mut self, item: Item) -> Result<Option<BytesMut>, Ended> {
        let (bytes, last) = match item {
            Item::FirstText(bytes) | Item::FirstBinary(bytes) | Item::Continue(bytes) => {
                (bytes, false)
            }
            Item::Last(bytes) => (bytes, true),
        };
        self.partial.extend_from_slice(&bytes);
        if self.partial.len() > MESSAGE_BYTES {
            return Err(Ended(format!("a message is longer than {MESSAGE_BYTES} bytes")));
        }
        Ok(last.then(|| self.partial.split()))
    }

    async fn write(&mut self, message: ws::Message) -> Result<(), Ended> {
        self.framed.send(message).await.map_err(|error| match error {
            ws::ProtocolError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ended("the server closed it".to_owned())
            }
            error => Ended(error.to_string()),
        })
    }
}

fn read(text: &[u8]) -> Result<Told, Ended> {
    serde_json::from_slice(text).map_err(|error| Ended(format!("a message that is none: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_protocol_has_them() {
        let room = &RoomName::parse("r").unwrap();
        let join = serde_json::to_string(&Ask::Join { id: 1, room, listen: false }).unwrap();
        assert_eq!(join, r#"{"type":"join","id":1,"room":"r","listen":false}"#);
        let set = Put::Set { id: None, room, key: "k", value: 5 };
        let set = serde_json::to_string(&set).unwrap();
        assert_eq!(set, r#"{"type":"set","room":"r","key":"k","value":5}"#);
        assert!(matches!(read(br#"{"type":"welcome","user":"u"}"#), Ok(Told::Other)));
        assert!(matches!(read(br#"{"type":"ack","id":7,"seq":1}"#), Ok(Told::Ack { id: 7 })));
        let error = br#"{"type":"error","code":"forbidden","message":"no"}"#;
        assert!(matches!(read(error), Ok(Told::Error { id: None, .. })));
        assert!(read(b"[]").is_err());
    }
}
