//! Rookery: a real-time server.
//!
//! ```text
//! browser ──ws──► Session ──Join/Publish──► RoomSupervisor ──Track──► PresenceSupervisor
//!          (one per socket)                (one per worker)          (one per node)
//!                ▲                              │  ▲                       │ changes
//!                └── outbound lanes ◄───────────┘  └── Delivery ── Broker  └──► RoomSupervisor
//!                    (bounded, encoded once)            embedded | Redis (RedisBridge)
//! ```
//!
//! One idea carries all of it: any hop may refuse or lose a message; the room's
//! `seq` makes the loss visible; the log repairs it.
//!
//! The modules in reading order:
//!
//! - [`model`]: plain values that all others speak in
//! - [`config`]: the settings, one struct for each section of `config.toml`
//! - [`logging`]: what is written to standard error
//! - [`wire`]: bytes of a client: frames, commands, events
//! - [`auth`]: token → identity → grants
//! - [`cluster`]: what nodes tell one another besides the logs
//! - `process`: what the system says of this process
//! - [`metrics`]: what is counted and measured
//! - [`shedding`]: when new work is refused
//! - [`backend`]: calls to backends: telling them what happened, asking them what may
//! - [`trace`]: what happens to one user or in one room, told live
//! - [`broker`]: logs, shared state, dedup; who is handed what
//! - [`outbound`]: what waits to be written to one client
//! - [`presence`]: who is where
//! - [`room`]: members on one worker, joining, fan-out
//! - [`session`]: one actor for each socket
//! - [`http`]: routes, and the way from a request to a socket
//! - [`net`], `serving`, [`shutdown`], `systemd`, [`app`]: sockets and TLS, the workers, the end,
//!   the supervisor, and all of it put together
//! - [`demo`]: clients that show it

pub mod app;
pub mod auth;
pub mod backend;
mod backends;
pub mod broker;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod net;
pub mod outbound;
pub mod presence;
mod process;
pub mod room;
mod serving;
pub mod session;
pub mod shedding;
pub mod shutdown;
pub mod supervision;
mod sync;
mod systemd;
pub mod trace;
pub mod wire;
