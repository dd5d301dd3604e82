use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::AbortHandle,
};

use super::RedisServer;

const ALL: u8 = 0;
const NO_MESSAGES: u8 = 1;
const NOTHING: u8 = 2;

/// What stands in commands of subscriptions, and what the server reads in its place; of the
/// same length, or nothing.
type Misdirected = Arc<Mutex<(&'static str, &'static str)>>;

/// One connection through the relay.
#[derive(Default)]
struct Link {
    /// Whether its client subscribed to anything.
    subscribes: AtomicBool,
    /// What of the server's answers gets through, if it did.
    through: AtomicU8,
}

/// A stretch of network between a node and its Redis, on which a connection can
/// fall silent without an end.
pub struct Relay {
    port: u16,
    /// What gets through to new subscriptions.
    through: Arc<AtomicU8>,
    links: Arc<Mutex<Vec<Arc<Link>>>>,
    misdirected: Misdirected,
    accepting: AbortHandle,
}

impl Relay {
    pub async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (target, through) = (server.port(), Arc::<AtomicU8>::default());
        let links = Arc::<Mutex<Vec<Arc<Link>>>>::default();
        let (known, now) = (Arc::clone(&links), Arc::clone(&through));
        let misdirected = Misdirected::default();
        let names = Arc::clone(&misdirected);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                let link = Arc::<Link>::default();
                link.through.store(now.load(Ordering::Relaxed), Ordering::Relaxed);
                known.lock().expect("nobody panics holding it").push(Arc::clone(&link));
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (there, back) = (Arc::clone(&names), Arc::clone(&names));
                tokio::spawn(carry_commands(from_client, to_server, Arc::clone(&link), there));
                tokio::spawn(carry_answers(from_server, to_client, link, back));
            }
        });
        Self { port, through, links, misdirected, accepting: accepting.abort_handle() }
    }

    /// As `broker.url` names the server behind it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on no message comes through any subscription; all else is
    /// answered.
    pub fn lose_messages(&self) {
        self.limit(NO_MESSAGES);
    }

    /// From now on nothing at all comes through the connections that subscribed.
    pub fn silence_subscriptions(&self) {
        self.limit(NOTHING);
    }

    /// Connections that are made from now on work; those that were limited stay
    /// so.
    pub fn restore(&self) {
        self.through.store(ALL, Ordering::Relaxed);
    }

    /// From now on the server reads `to` where a connection that subscribes says `from`, and
    /// answers to `to` say `from`. Both of nothing end that.
    pub fn misdirect(&self, from: &'static str, to: &'static str) {
        assert_eq!(from.len(), to.len(), "what comes behind it stays where it is");
        *self.misdirected.lock().expect("nobody panics holding it") = (from, to);
    }

    fn limit(&self, through: u8) {
        self.through.store(through, Ordering::Relaxed);
        let links = self.links.lock().expect("nobody panics holding it");
        let subscribed = links.iter().any(|it| it.subscribes.load(Ordering::Relaxed));
        assert!(subscribed, "no connection subscribed to anything");
        for link in links.iter() {
            link.through.store(through, Ordering::Relaxed);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry_commands(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: Arc<Link>,
    misdirected: Misdirected,
) {
    let mut bytes = BytesMut::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        if bytes.to_ascii_uppercase().windows(9).any(|it| it == b"SUBSCRIBE") {
            link.subscribes.store(true, Ordering::Relaxed);
        }
        if link.subscribes.load(Ordering::Relaxed) {
            let (told, read) = *misdirected.lock().expect("nobody panics holding it");
            replace(&mut bytes, told, read);
        }
        if to.write_all_buf(&mut bytes).await.is_err() {
            return;
        }
    }
}

async fn carry_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: Arc<Link>,
    misdirected: Misdirected,
) {
    let mut bytes = BytesMut::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        while let Some(length) = length(&bytes) {
            let mut answer = bytes.split_to(length);
            if link.subscribes.load(Ordering::Relaxed) {
                let (told, read) = *misdirected.lock().expect("nobody panics holding it");
                replace(&mut answer, read, told);
            }
            let lost = match link.through.load(Ordering::Relaxed) {
                _ if !link.subscribes.load(Ordering::Relaxed) => false,
                ALL => false,
                NO_MESSAGES => is_message(&answer),
                _ => true,
            };
            if !lost && to.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// Puts a text in the place of another of the same length.
fn replace(bytes: &mut BytesMut, from: &str, to: &str) {
    if from.is_empty() {
        return;
    }
    while let Some(at) = bytes.windows(from.len()).position(|it| it == from.as_bytes()) {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
}

/// How long the whole value is that stands at the front of `bytes`.
fn length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|it| it == b"\r\n")? + 2;
    let count = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    let values = |mut from: usize, count: i64| {
        for _ in 0..count {
            from += length(&bytes[from..])?;
        }
        Some(from)
    };
    match bytes.first()? {
        b'$' | b'=' | b'!' => {
            let whole = usize::try_from(count()?).map_or(end, |count| end + count + 2);
            (bytes.remaining() >= whole).then_some(whole)
        }
        b'*' | b'>' | b'~' => values(end, count()?),
        b'%' => values(end, 2 * count()?),
        b'|' => values(end, 2 * count()? + 1),
        _ => Some(end),
    }
}

/// Whether a value is one that a subscription delivers.
fn is_message(answer: &[u8]) -> bool {
    let kinds: [&[u8]; 3] = [b"$7\r\nmessage\r\n", b"$8\r\nsmessage\r\n", b"$8\r\npmessage\r\n"];
    matches!(answer.first(), Some(b'*' | b'>'))
        && answer
            .windows(2)
            .position(|it| it == b"\r\n")
            .is_some_and(|end| kinds.iter().any(|kind| answer[end + 2..].starts_with(kind)))
}
