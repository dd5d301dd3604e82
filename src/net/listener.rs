use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use log::{debug, info};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::Listen;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How much unsent data the kernel holds for one connection before it says that
/// it takes no more. What waits beyond that waits in the lanes, where newer
/// values replace older ones and where its size is known and bounded.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// What listens.
#[derive(Debug)]
pub enum Listener {
    /// At an address of the network, in plain HTTP.
    Tcp(TcpListener),
    /// At an address of the network, with TLS.
    Tls(TcpListener),
    /// At a Unix socket.
    Unix(UnixListener),
}

/// Where something listens, as the node tells it. The file of a Unix socket is
/// removed when this is dropped.
#[derive(Debug)]
pub enum Place {
    /// An address of the network, and whether TLS is spoken there.
    Tcp(SocketAddr, bool),
    /// A Unix socket.
    Unix(SocketFile),
}

/// The file of a Unix socket that is ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Which file it is, by device and number: the path may lead to another one
    /// by now.
    id: (u64, u64),
}

impl Listener {
    /// Listens at the address. With TLS where there is a certificate
    /// (`certified`) and the address does not say otherwise; `mode` is that of
    /// Unix sockets. `patience` is how long a peer may leave what was sent to it
    /// unacknowledged: the kernel then ends the connection, also where the network
    /// vanished without a word.
    ///
    /// # Errors
    /// As the operating system says; where somebody else listens there.
    pub fn bind(
        listen: &Listen,
        certified: bool,
        mode: u32,
        patience: Duration,
    ) -> io::Result<(Self, Place)> {
        match listen {
            Listen::Tcp { address, .. } => {
                let (socket, tls) = (listen_tcp(*address, patience)?, listen.is_tls(certified));
                let place = Place::Tcp(socket.local_addr()?, tls);
                Ok((if tls { Self::Tls(socket) } else { Self::Tcp(socket) }, place))
            }
            Listen::Unix(path) => {
                let (socket, file) = listen_unix(path, mode)?;
                Ok((Self::Unix(socket), Place::Unix(file)))
            }
        }
    }
}

fn listen_tcp(address: SocketAddr, patience: Duration) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    tune(&socket, patience)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Sets options that each accepted connection inherits, so that none has to be set
/// anew for each.
fn tune(socket: &Socket, patience: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Elsewhere the heartbeat alone ends a connection whose peer vanished.
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(patience))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    Ok(())
}

fn listen_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path)?;
    make_way(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    let metadata = fs::metadata(path)?;
    let file = SocketFile { path: path.to_owned(), id: (metadata.dev(), metadata.ino()) };
    // Nobody can connect before it listens, so nobody can who may not.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

/// Removes the socket that a process left behind when it died.
fn make_way(path: &Path, address: &SockAddr) -> io::Result<()> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return refused("there is a file of this name, which is no socket"),
    }
    let asking = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    asking.set_nonblocking(true)?;
    match asking.connect(address) {
        Ok(()) => refused("another process listens there"),
        // It is slow to accept.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            refused("another process listens there")
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            info!("{}: nobody listens there any more, removing it", path.display());
            fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

impl Place {
    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address, _) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address, false) => write!(f, "http://{address}"),
            Self::Tcp(address, true) => write!(f, "https://{address}"),
            Self::Unix(file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            debug!("{}: could not be removed: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use socket2::SockRef;

    use super::*;

    #[test]
    fn an_accepted_connection_has_the_options_of_its_listener() {
        let patience = Duration::from_millis(4_500);
        let listener = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), patience).unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let options = SockRef::from(&accepted);
        assert!(options.tcp_nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(options.tcp_user_timeout().unwrap(), Some(patience));
            assert_eq!(options.tcp_notsent_lowat().unwrap(), UNSENT);
        }
    }
}
