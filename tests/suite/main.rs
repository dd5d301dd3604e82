//! The contract of `docs/protocol.md`, tested from outside: a real server on a
//! port of its own for every test, and a client that speaks over a raw socket.
//! One binary, so that it is linked once.

// A test says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// Nothing here is seen from outside.
#![allow(missing_docs, unreachable_pub)]

mod api;
mod broker_laws;
mod cluster;
mod cluster_users;
mod deploy;
mod harness;
mod history_checker;
#[allow(dead_code, reason = "the tests of `auth` need more of it")]
#[path = "../../src/auth/tests/signer.rs"]
mod signer;

// Connecting.
mod handshake;
mod kicks;
mod refusals;
mod sessions;
mod tokens;
// Messages.
mod envelope;
mod grants;
mod history;
mod inbox;
mod presence;
mod resume;
mod state;
mod supervision;
mod transient;
mod two_writers;
mod watch;
mod writers;
mod writes;
// The same over a stream of events.
mod events;
// Backends.
mod asking;
mod webhooks;
// The life of a connection.
mod attaching;
mod closing;
mod expiry;
mod hostile;
mod limits;
mod liveness;
mod tls;
mod unix_sockets;
// The server as a whole.
mod architecture;
mod delivery_faults;
mod demo;
mod durable;
mod fuzzing;
mod logs;
mod metrics;
mod operating;
mod pages;
mod random_cuts;
mod shedding;
mod stalled_reader;
mod stalls;
