//! One actor for each socket.
//!
//! [`Session`] is a plain actix actor beside the socket, not a
//! `WebsocketContext`: that one is polled only while its socket takes bytes, so
//! that a client which stops reading freezes the very heartbeat that should
//! reap it. Here the actor's `Inbound` stream reads frames and waits
//! for the socket to take more, the [outbound queue](crate::outbound) holds what
//! the client has not taken yet, and timers and mailbox go on whatever the
//! socket does.

mod actor;
mod census;
mod commands;
mod ending;
mod gate;
mod heartbeat;
mod inbound;
mod listening;
mod numbered;
mod opening;
mod post;
mod rate;
pub mod registry;
mod seed;
mod services;
mod stalls;
mod tracing;
mod vitals;
mod worker;
mod workers;
mod writing;

pub use actor::Session;
pub use census::{Census, Found};
pub use opening::OpenedInbox;
pub use post::{Busy, POSTED, Post};
pub use rate::Bucket;
pub use registry::{End, Permit, Refused, Registry, Unordered};
pub use seed::{Role, Seed};
pub use services::Services;
pub use stalls::{DEAD_LIMIT, STALL_LIMIT, WorkerHealth};
pub use tracing::{Admit, Wanted};
pub use worker::Worker;
pub use workers::Workers;
pub use writing::{direct, publish_problem};
