//! Sockets: where the node listens, TLS, and an accepted connection.

mod certificate;
mod connection;
mod handshake;
mod listener;
mod socket;
mod tls;

pub use self::{
    certificate::Certificate,
    connection::{Connection, Origin},
    handshake::{Handshakes, Refusal, Tls},
    listener::{Listener, Place, SocketFile},
    socket::Socket,
    tls::TlsStream,
};
