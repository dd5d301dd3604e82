//! Calls to backends: telling them what happened, asking them what may.
//!
//! A *hook* is an endpoint that is told of [`Event`]s. They wait in an
//! [`Outbox`], which is Redis' where there is one, else this process' own
//! [`Queue`]; one of the [`Deliveries`] for each hook takes them out, oldest first, and
//! posts them until the backend has them. What is between an event and its
//! delivery is never awaited by who made the event.
//!
//! An [`Asker`] asks before something is done, and waits for the answer.

mod ask;
mod deliver;
mod delivery;
mod event;
mod figures;
mod hook;
mod post;
mod queue;
mod signature;

pub use ask::{Asker, Who};
pub use deliver::Outbox;
pub use delivery::{Deliveries, PART};
pub use event::{Event, Resync, What};
pub use figures::{Figures, HookFigures};
pub use hook::{Hook, Hooks, Wants};
pub use post::Caller;
pub use queue::{Due, Queue};
pub use signature::{HEADER, Signer};
