//! Who is where: sessions folded into users, with a grace for those who come
//! right back.
//!
//! [`PresenceSupervisor`] is one actor for the node; all that it knows is in a
//! [`Roster`], a plain value. It tells a worker what changed in the rooms that
//! the worker has members of, and answers on the same way, so that an answer
//! and the changes after it arrive in their order.

mod outbox;
mod roster;
mod supervisor;

pub use roster::{Effect, RoomFull, Roster};
pub use supervisor::{
    Connect, Disconnect, News, PresenceSupervisor, Register, SetStatus, Ticket, Track, Untrack,
    Unwatch, Watch, WhoIs,
};
