//! Who is where: sessions folded into users, with a grace for those who come
//! right back.
//!
//! [`PresenceSupervisor`] is one actor for the node; all that it knows is in a
//! [`Roster`], a plain value. It tells a worker what changed in the rooms that
//! the worker has members of, and answers on the same way, so that an answer
//! and the changes after it arrive in their order.
//!
//! Where the node is one of several, it [follows](crate::cluster::Cluster::follow)
//! the rooms that it has members of, the inbox rooms of the users that are
//! connected here or watched from here, and tells the others what its own part
//! in these is. The roster folds what the others told with what is here.

mod backends;
mod following;
mod handlers;
mod inquiries;
mod line;
mod messages;
mod neighbours;
mod outbox;
mod roster;
mod supervisor;
mod telling;
#[cfg(test)]
mod tests;

pub use line::Line;
pub use messages::{
    Find, Finish, Headcount, Inspect, Largest, News, Register, Request, Requests, RoomsOf, Survey,
    Ticket, Whereabouts,
};
pub use roster::{Effect, RoomFull, Roster};
pub use supervisor::PresenceSupervisor;
