//! What is asked over HTTP, with the codec that the server itself is built on:
//! a guest's token, and the upgrade.

use std::{io, time::Duration};

use actix_codec::Framed;
use actix_http::{
    ConnectionType, RequestHead, RequestHeadType, ResponseHead,
    body::BodySize,
    h1::{ClientCodec, Message, MessageType},
    ws,
};
use actix_web::http::{
    Method, StatusCode, Uri,
    header::{self, HeaderName, HeaderValue},
};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use super::{address::Address, socket::Socket};

/// Without an answer for so long an attempt is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Why a server did not let a client in, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no connection.
    #[error("no connection to {0}: {1}")]
    Unreachable(Address, io::Error),
    /// The server says no.
    #[error("{place} answers {status}: {message}")]
    Refused {
        /// Who answers.
        place: Address,
        /// The status of the answer.
        status: StatusCode,
        /// What the server says to it.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// What answers is no Rookery.
    #[error("{0} does not answer as a Rookery does: {1}")]
    Strange(Address, String),
}

impl Refusal {
    /// The status of the answer, where there was one.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A guest, as the server made it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Guest {
    pub(super) token: String,
    pub(super) user: String,
}

/// Asks for a guest's token: `POST /auth/guest`.
pub(super) async fn guest(address: &Address, name: &str) -> Result<Guest, Refusal> {
    let body = serde_json::json!({ "name": name }).to_string();
    let mut head = request(address, Method::POST, "/auth/guest");
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (head, body) = within(address, async {
        let framed = connect(address).await?;
        let (head, framed) = exchange(framed, head, Bytes::from(body)).await?;
        Ok((head, answer(framed).await?))
    })
    .await?;
    if head.status != StatusCode::OK {
        return Err(refused(address, &head, &body));
    }
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::Strange(address.clone(), error.to_string()))
}

/// Connects to `/ws` with a token.
pub(super) async fn upgrade(address: &Address, token: &str) -> Result<Socket, Refusal> {
    let strange = |what: &str| Refusal::Strange(address.clone(), what.to_owned());
    let key = websocket_key().map_err(|error| strange(&error.to_string()))?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
    let bearer = bearer.map_err(|_| strange("its token is no text"))?;
    let mut head = request(address, Method::GET, "/ws");
    head.set_connection_type(ConnectionType::Upgrade);
    let headers = head.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("rookery.v1"));
    let accepted = ws::hash_key(key.as_bytes());
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    within(address, async {
        let framed = connect(address).await?;
        let (head, framed) = exchange(framed, head, Bytes::new()).await?;
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            let body = answer(framed).await?;
            return Ok(Err(refused(address, &head, &body)));
        }
        let answered = head.headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if answered != Some(&accepted[..]) {
            return Ok(Err(strange("its Sec-WebSocket-Accept is another one")));
        }
        Ok(Ok(Socket::new(framed)))
    })
    .await?
}

async fn within<T>(
    address: &Address,
    attempt: impl Future<Output = io::Result<T>>,
) -> Result<T, Refusal> {
    let done = timeout(PATIENCE, attempt).await;
    let done = done.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
    done.map_err(|error| Refusal::Unreachable(address.clone(), error))
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(address: &Address, method: Method, path: &'static str) -> RequestHead {
    let mut head = RequestHead::default();
    head.method = method;
    head.uri = Uri::from_static(path);
    if let Ok(host) = HeaderValue::from_str(&address.authority) {
        head.headers_mut().insert(header::HOST, host);
    }
    head
}

type Exchanged = (ResponseHead, Framed<TcpStream, ClientCodec>);

/// Sends a request; answers the head of the response.
async fn exchange(stream: TcpStream, head: RequestHead, body: Bytes) -> io::Result<Exchanged> {
    let mut framed = Framed::new(stream, ClientCodec::default());
    let size = match body.len() {
        0 => BodySize::None,
        length => BodySize::Sized(length as u64),
    };
    framed.feed(Message::Item((RequestHeadType::Owned(head), size))).await?;
    if !body.is_empty() {
        framed.feed(Message::Chunk(Some(body))).await?;
        framed.feed(Message::Chunk(None)).await?;
    }
    SinkExt::<Message<(RequestHeadType, BodySize)>>::flush(&mut framed).await?;
    let head = framed.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.map_err(io::Error::other)?, framed))
}

/// Reads the rest of a response.
async fn answer(framed: Framed<TcpStream, ClientCodec>) -> io::Result<BytesMut> {
    let mut body = BytesMut::new();
    if matches!(framed.codec_ref().message_type(), MessageType::None) {
        return Ok(body);
    }
    let mut framed = framed.into_map_codec(ClientCodec::into_payload_codec);
    while let Some(chunk) = framed.next().await.transpose().map_err(io::Error::other)?.flatten() {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES {
            return Err(io::Error::other(format!(
                "its answer is longer than {ANSWER_BYTES} bytes"
            )));
        }
    }
    Ok(body)
}

fn refused(address: &Address, head: &ResponseHead, body: &[u8]) -> Refusal {
    #[derive(Deserialize)]
    struct Answer {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        message: String,
    }
    let said = serde_json::from_slice(body).map(|Answer { error }| error.message);
    let number = |name: HeaderName| head.headers.get(name)?.to_str().ok()?.parse().ok();
    Refusal::Refused {
        place: address.clone(),
        status: head.status,
        message: said.unwrap_or_else(|_| "it does not say why".to_owned()),
        retry_after: number(header::RETRY_AFTER).map(Duration::from_secs),
    }
}

/// 16 random bytes in base64, which always ends as it does here.
fn websocket_key() -> Result<String, getrandom::Error> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = [0; 21];
    getrandom::fill(&mut random)?;
    let digit = |byte: &u8| DIGITS.get(usize::from(byte % 64)).map(|digit| char::from(*digit));
    Ok(random.iter().filter_map(digit).chain("A==".chars()).collect())
}
