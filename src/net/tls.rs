use std::{
    cell::RefCell,
    io::{self, Read, Write},
    mem,
    task::{Context, Poll},
};

use rustls::ServerConnection;
use tokio::net::TcpStream;

/// How much is encrypted that the kernel has not taken yet. It is what TLS adds
/// to the lanes of a reader that stands still.
const ENCRYPTED: usize = 32 * 1024;

/// How often a call reads from the kernel, at most: a peer that sends records
/// with nothing in them does not hold the thread.
const READS: usize = 16;

/// A connection over TLS, its handshake done. It is read and written from several
/// places on one thread, like a plain socket.
#[derive(Debug)]
pub struct TlsStream {
    tcp: TcpStream,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: ServerConnection,
    /// How many of the bytes given to [`TlsStream::try_write`] are encrypted and
    /// not said to be taken.
    owed: usize,
    /// Whether there may be something to read that is here already, the end of
    /// the stream included.
    more: bool,
}

/// How far sending what is encrypted came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    Some,
    Nothing,
}

impl TlsStream {
    pub(super) fn new(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(ENCRYPTED));
        // What came with the end of the handshake is decrypted already.
        Self { tcp, inner: RefCell::new(Inner { session, owed: 0, more: true }) }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner.borrow().more {
            true => Poll::Ready(Ok(())),
            false => self.tcp.poll_read_ready(cx),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut *self.inner.borrow_mut();
        let (mut filled, mut reads) = (0, 0);
        loop {
            let free = buffer.get_mut(filled..).unwrap_or_default();
            match inner.session.reader().read(free) {
                Ok(read) if read > 0 && read < free.len() => filled += read,
                Ok(read) => {
                    // Full, or the end.
                    inner.more = true;
                    return Ok(filled + read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer ended TCP without a goodbye. Whether a message is whole
                // is for the protocol above to see.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    inner.more = true;
                    return Ok(filled);
                }
                Err(error) => return Err(error),
            }
            // Nothing decrypted is left.
            inner.more = false;
            let read = match reads < READS {
                true => inner.session.read_tls(&mut Tcp(&self.tcp)),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
            reads += 1;
            match read {
                Ok(_) => inner.process(&self.tcp)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && filled > 0 => {
                    return Ok(filled);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`Socket::try_write`](super::Socket::try_write): bytes are taken when the
    /// kernel has all of what became of them.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.owed == 0 {
            inner.owed = inner.session.writer().write(bytes)?;
        }
        match inner.send(&self.tcp)? {
            Sent::All => Ok(mem::take(&mut inner.owed)),
            // A slow reader is not a stalled one: what it took is told at once.
            Sent::Some => Ok(0),
            Sent::Nothing => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes bytes for the HTTP layer, which [flushes](Self::flush) afterwards.
    pub(super) fn encrypt(&self, bytes: &[u8]) -> io::Result<usize> {
        let inner = &mut *self.inner.borrow_mut();
        inner.send(&self.tcp)?;
        let taken = inner.session.writer().write(bytes)?;
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Sends what the HTTP layer wrote; whether all of it is sent. What a session
    /// wrote is the session's to send: it waits for the socket itself.
    pub(super) fn flush(&self) -> io::Result<bool> {
        let inner = &mut *self.inner.borrow_mut();
        Ok(inner.owed > 0 || inner.send(&self.tcp)? == Sent::All)
    }

    /// Tells the peer, as far as the socket takes it, that nothing more comes.
    pub(super) fn say_goodbye(&self) {
        let inner = &mut *self.inner.borrow_mut();
        inner.session.send_close_notify();
        let _ = inner.send(&self.tcp);
    }
}

/// Also of a connection that is closed at once the peer is told the end.
impl Drop for TlsStream {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

impl Inner {
    fn send(&mut self, tcp: &TcpStream) -> io::Result<Sent> {
        let mut sent = Sent::Nothing;
        while self.session.wants_write() {
            match self.session.write_tls(&mut Tcp(tcp)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => sent = Sent::Some,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Sent::All)
    }

    /// Decrypts what was read. Where it is not what it should be, the peer is told.
    fn process(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        let _ = self.send(tcp);
        processed.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The socket as rustls reads and writes it.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
