//! Clients that show what a server can do: `rookery demo`.
//!
//! - [`agents`]: a fleet of agents for the monitor of `static/agents.html`
//!
//! They use nothing but the public API, so any server will do that speaks plain
//! HTTP.

mod address;
pub mod agents;
mod gate;
mod identity;
mod random;
mod request;
mod socket;

pub use address::Address;
pub use identity::Credentials;
pub use request::Refusal;
