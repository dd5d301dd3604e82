//! What a supervisor is told that started this process as systemd does with
//! `Type=notify`. Elsewhere nobody is told anything.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use log::warn;

/// The node listens.
pub(crate) const READY: &str = "READY=1";

/// The node drains, and then ends.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// All workers run.
pub(crate) const WATCHDOG: &str = "WATCHDOG=1";

/// Within which time the supervisor wants to hear [`WATCHDOG`]; None if it does not. From
/// `WATCHDOG_USEC`, as `sd_watchdog_enabled(3)` reads it.
pub(crate) fn watchdog_timeout() -> Option<Duration> {
    let read = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_for_this_process =
        read("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    let timeout = Duration::from_micros(read("WATCHDOG_USEC")?);
    (is_for_this_process && !timeout.is_zero()).then_some(timeout)
}

/// Tells the supervisor, if there is one that listens.
pub(crate) fn tell(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        warn!("NOTIFY_SOCKET could not be told {state}: {error}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A supervisor that does not read must not hold up the server.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abstract_socket_is_told_too() {
        let name = format!("rookery-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let supervisor = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), READY).unwrap();
        let mut buffer = [0; 64];
        let length = supervisor.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], READY.as_bytes());
    }

    #[test]
    fn a_socket_that_is_not_there_is_an_error() {
        assert!(send(OsStr::new("/nobody/listens/here"), READY).is_err());
    }
}
