use std::{io, rc::Rc, sync::Arc, time::Duration};

use log::debug;
use rustls::{ServerConfig, crypto::aws_lc_rs, server::Acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::yield_now,
    time::timeout,
};
use tokio_rustls::LazyConfigAcceptor;

use super::{certificate::Certificate, tls::TlsStream};

/// What is said to who speaks plain HTTP.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 33\r\nconnection: close\r\n\r\nThis port speaks TLS: use https.\n";

/// How much of a plain request is read, so that its sender reads the answer.
const PLAIN_REQUEST: u64 = 64 * 1024;

/// How TLS is spoken.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    timeout: Duration,
}

impl Tls {
    /// TLS 1.2 and 1.3 with this certificate. A handshake may take `timeout`.
    ///
    /// # Errors
    /// What the cryptography lacks.
    pub fn new(certificate: Arc<Certificate>, timeout: Duration) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        // An upgrade is a thing of HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config), timeout })
    }

    /// The handshakes of one worker.
    pub fn handshakes(&self) -> Handshakes {
        Handshakes { tls: self.clone(), turn: Rc::new(Semaphore::new(1)) }
    }
}

/// Why a handshake led to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer took too long.
    Timeout,
    /// The peer speaks plain HTTP.
    Plain,
    /// The peer went, or spoke no TLS that is spoken here.
    Failed,
}

impl Refusal {
    /// In a word, for metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Plain => "plain_http",
            Self::Failed => "failed",
        }
    }
}

/// The handshakes of one worker. The costly step of each, a signature, is done
/// one at a time, and all sessions that have something to do have their turn
/// before the next one: so many handshakes at once delay a session by one.
#[derive(Debug, Clone)]
pub struct Handshakes {
    tls: Tls,
    turn: Rc<Semaphore>,
}

impl Handshakes {
    /// Sees a handshake to its end.
    ///
    /// # Errors
    /// [`Refusal`] where it comes to none.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream, Refusal> {
        match timeout(self.tls.timeout, self.shake_hands(stream)).await {
            Ok(Ok(Some(stream))) => Ok(stream),
            Ok(Ok(None)) => Err(Refusal::Plain),
            Ok(Err(error)) => {
                debug!("a TLS handshake failed: {error}");
                Err(Refusal::Failed)
            }
            Err(_) => Err(Refusal::Timeout),
        }
    }

    /// None where the peer speaks plain HTTP.
    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Option<TlsStream>> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first.iter().any(u8::is_ascii_uppercase) {
            refuse_plain(stream).await?;
            return Ok(None);
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let turn = self.turn.acquire().await.map_err(io::Error::other)?;
        let rest = hello.into_stream(self.tls.config.clone());
        yield_now().await;
        drop(turn);
        let (stream, session) = rest.await?.into_inner();
        Ok(Some(TlsStream::new(stream, session)))
    }
}

/// Says what is spoken here, and reads on so that the answer arrives.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(PLAIN_REQUEST);
    let mut buffer = [0; 1024];
    while rest.read(&mut buffer).await? > 0 {}
    Ok(())
}
