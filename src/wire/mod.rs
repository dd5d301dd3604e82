//! The only modules that know bytes on a client's wire: frames come in through
//! [`frame`], what a client asks is read by [`command`], what the server says is
//! written by [`event`], and [`sse`] is its form as a stream of events. Nothing here knows an actor, a socket or a clock.

pub mod command;
pub mod event;
pub mod frame;
mod kind;
mod protocol;
mod raw;
pub mod sse;
mod trace;

pub use command::{
    Command, DEFAULT_PAGE, Incoming, KEY_CHARACTERS, NAME_CHARACTERS, PAGE, RequestId, Since, Token,
};
pub use event::{Event, Limits, Shown, encode};
pub use frame::{Decoder, Frame};
pub use kind::{CommandKind, EventKind};
pub use protocol::{PerProtocol, Protocol};
pub use raw::one_line;
pub use sse::{Place, Places};
pub use trace::TraceEvent;
