//! The members of each room on one worker thread, and the fan-out to them.
//!
//! [`RoomSupervisor`] is one actor for each worker; all that it knows of a room
//! is in a [`Room`], a plain value over the members' [outbound
//! queues](crate::outbound). Sessions ask it to join and to leave, the broker
//! hands it what is published, presence tells it who came and went.

mod batch;
mod comparison;
mod fanout;
mod handlers;
mod join;
mod repair;
mod requests;
mod seat;
mod supervisor;
mod survey;
mod watch;

pub use fanout::Room;
pub use requests::{
    Attach, Detach, Join, Leave, ListMembers, NotOpened, OpenInbox, Renew, Unwatch, Watch, Welcome,
};
pub use seat::{Seat, Sees};
pub use supervisor::{Links, RoomSupervisor};
pub use survey::{Survey, Surveyed};
