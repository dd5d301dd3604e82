use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, pki_types::ServerName};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client};

/// What a server is spoken to over. What it refers to lives as long as the
/// process of the tests.
#[derive(Clone, Copy, Default)]
pub enum Way {
    #[default]
    Plain,
    Tls(&'static Arc<ClientConfig>),
    Unix(&'static Path),
}

impl Way {
    /// Speaks what it speaks over a connection that is there.
    pub async fn over(self, stream: TcpStream) -> io::Result<Stream> {
        let Self::Tls(config) = self else { return Ok(Stream::Plain(stream)) };
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(config.clone());
        Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?)))
    }

    /// A connection to a server on this machine.
    pub async fn dial(self, port: u16) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            way => way.over(TcpStream::connect(("127.0.0.1", port)).await?).await,
        }
    }
}

/// A connection to a server.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<client::TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Plain(stream) => SockRef::from(stream),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    /// What was agreed on in the handshake.
    pub fn session(&self) -> &rustls::ClientConnection {
        match self {
            Self::Tls(stream) => stream.get_ref().1,
            _ => panic!("no TLS is spoken here"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
