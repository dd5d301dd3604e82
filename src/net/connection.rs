use std::{
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;

/// An accepted connection. The HTTP layer reads requests from it and writes
/// answers to it; a session whose answer does not end writes to it as well.
#[derive(Debug)]
pub struct Connection(Rc<Socket>);

/// The way from a request to the connection that it came over. It does not keep
/// the connection open.
#[derive(Debug, Clone)]
pub struct Origin {
    socket: Weak<Socket>,
    tls: bool,
}

impl Connection {
    /// The connection of an accepted socket.
    pub fn new(socket: Socket) -> Self {
        Self(Rc::new(socket))
    }

    /// What its requests are given.
    pub fn origin(&self) -> Origin {
        Origin { socket: Rc::downgrade(&self.0), tls: matches!(*self.0, Socket::Tls(_)) }
    }

    /// The socket, when HTTP is done with it.
    pub fn into_socket(self) -> Rc<Socket> {
        self.0
    }
}

impl Origin {
    /// The socket, while it is open.
    pub fn socket(&self) -> Option<Rc<Socket>> {
        self.socket.upgrade()
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
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
            match self.0.try_read_buf(buf) {
                Ok(_) => {
                    if buf.remaining() > 0 {
                        self.0.note_drained();
                    }
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
            let written = match &*self.0 {
                Socket::Tls(tls) => tls.encrypt(bytes),
                plain => plain.try_write(bytes),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(self.0.poll_write_ready(cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Socket::Tls(tls) = &*self.0 else { return Poll::Ready(Ok(())) };
        while !tls.flush()? {
            ready!(self.0.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(self.0.shutdown())
    }
}
