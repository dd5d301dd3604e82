use std::{
    io,
    net::Shutdown,
    ops::Deref,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// An accepted connection. The HTTP layer reads requests from it and writes
/// answers to it; a session whose answer does not end writes to it as well.
#[derive(Debug)]
pub struct Connection(Rc<TcpStream>);

/// The way from a request to the connection that it came over. It does not keep
/// the connection open.
#[derive(Debug, Clone)]
pub struct Origin(Weak<TcpStream>);

impl Connection {
    /// The connection of an accepted socket.
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(stream))
    }

    /// What its requests are given.
    pub fn origin(&self) -> Origin {
        Origin(Rc::downgrade(&self.0))
    }

    /// The socket, when HTTP is done with it.
    pub fn into_stream(self) -> Rc<TcpStream> {
        self.0
    }
}

impl Origin {
    /// The socket, while it is open.
    pub fn stream(&self) -> Option<Rc<TcpStream>> {
        self.0.upgrade()
    }
}

impl Deref for Connection {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
