use std::{
    hint::black_box,
    io,
    net::Shutdown,
    task::{Context, Poll},
    time::Duration,
};

use log::debug;
use socket2::SockRef;
use tokio::{
    io::{Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::tls::TlsStream;

/// A socket to a client. All calls go without waiting: where they can do nothing
/// now they say [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// Over the network, with TLS.
    Tls(Box<TlsStream>),
    /// On this machine.
    Unix(UnixStream),
}

impl Socket {
    /// Reads what there is, at most as much as fits; 0 bytes are the end.
    ///
    /// # Errors
    /// As the operating system says, and where the peer breaks the rules of TLS.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Tls(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// The same into a buffer that need not be filled with zeros before, but for TLS.
    ///
    /// # Errors
    /// As those of [`try_read`](Self::try_read).
    pub fn try_read_buf(&self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Tls(stream) => {
                let read = stream.try_read(buffer.initialize_unfilled())?;
                buffer.advance(read);
                Ok(read)
            }
            Self::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Takes as many bytes as it can at once. Those it did not take have to be
    /// given again before any others: with TLS they may be encrypted already.
    ///
    /// # Errors
    /// As the operating system says.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Reads the memory that writing will need, so that it is at hand a moment later:
    /// looks whether the runtime takes the socket for writable.
    #[inline]
    pub fn warm(&self) {
        let nothing = || Ok(());
        let _ = black_box(match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, nothing),
            Self::Tls(stream) => stream.tcp().try_io(Interest::WRITABLE, nothing),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, nothing),
        });
    }

    /// Waits until there may be something to read.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Waits until it may take bytes.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.tcp().poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Says that the last read was not full, so it gave all there was: the kernel
    /// will tell when there is more, and need not be asked once again. The end of
    /// the stream stays known. (With TLS it is asked anyway.)
    pub fn note_drained(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
            Self::Tls(_) => Ok(()),
        };
    }

    /// Closes our half: the peer reads the end.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn shutdown(&self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            stream.say_goodbye();
        }
        self.options().shutdown(Shutdown::Write)
    }

    /// What the peer has not taken by the time the socket is dropped is let go,
    /// with the kernel's memory that holds it.
    pub fn let_go(&self) {
        let _ = self.options().set_linger(Some(Duration::ZERO));
    }

    /// Changes the patience with a peer, where that is known to be another than it
    /// was taken for. There is none on a Unix socket: no network can vanish.
    pub fn be_patient(&self, patience: Duration) {
        match self {
            Self::Tcp(stream) => be_patient(stream, patience),
            Self::Tls(stream) => be_patient(stream.tcp(), patience),
            Self::Unix(_) => {}
        }
    }

    fn options(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Tls(stream) => SockRef::from(stream.tcp()),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }
}

fn be_patient(stream: &TcpStream, patience: Duration) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(patience)) {
        debug!("a socket option could not be set: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, patience);
}
