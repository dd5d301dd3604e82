//! Sockets: how the node listens, and the options of an accepted connection.

mod connection;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use log::debug;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

pub use self::connection::{Connection, Origin};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How much unsent data the kernel holds for one connection before it says that
/// it takes no more. What waits beyond that waits in the lanes, where newer
/// values replace older ones and where its size is known and bounded.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// Listens at the address; port 0 picks a free one.
///
/// # Errors
/// As the operating system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Changes the patience with a peer, where that is known to be another than it
/// was taken for.
pub fn be_patient(stream: &TcpStream, patience: Duration) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(patience)) {
        debug!("a socket option could not be set: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, patience);
}

/// Sets the options of an accepted connection. `patience` is how long a peer
/// may leave what was sent to it unacknowledged: the kernel then ends the
/// connection, also where the network vanished without a word.
pub fn tune(stream: &TcpStream, patience: Duration) {
    let socket = SockRef::from(stream);
    let set = socket.set_tcp_nodelay(true);
    // Elsewhere the heartbeat alone ends a connection whose peer vanished.
    #[cfg(target_os = "linux")]
    let set = set
        .and_then(|()| socket.set_tcp_user_timeout(Some(patience)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT));
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    if let Err(error) = set {
        // The peer may be gone already; the session would find out as well.
        debug!("socket options could not be set: {error}");
    }
}
