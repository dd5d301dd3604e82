use std::{rc::Rc, sync::LazyLock};

use crate::{
    model::{Action, Grants, LinkId, RoomName, Seq, SessionId, UserId},
    outbound::Outbound,
    wire::Protocol,
};

/// A session that is a member of a room, as the fan-out sees it.
pub struct Seat {
    /// The way to the client.
    pub outbound: Rc<Outbound>,
    /// What the client speaks.
    pub protocol: Protocol,
    /// Whose session it is.
    pub user: UserId,
    /// Stands for `user` in the fan-out, where following a pointer for each
    /// member would cost more than the rest of the loop.
    pub user_hash: u64,
    /// Which session it is.
    pub session: SessionId,
    /// Nothing up to this place is sent: `joined` has told it.
    pub cursor: Seq,
    /// Which arrival in the room this was. What is in no log and was said before
    /// it is not for this seat.
    pub generation: u64,
    /// What the session's grants let it see.
    pub sees: Sees,
}

/// What the grants of a member let it see of its room besides what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sees {
    /// Who is there.
    pub presence: bool,
    /// What was said before.
    pub history: bool,
}

impl Sees {
    /// What these grants let a member of the room see.
    pub fn granted(grants: &Grants, room: &RoomName) -> Self {
        Self {
            presence: grants.allows(Action::Presence, room),
            history: grants.allows(Action::History, room),
        }
    }
}

impl Seat {
    /// The connection of the seat.
    pub fn link(&self) -> LinkId {
        self.outbound.link()
    }
}

/// The value of [`Seat::user_hash`] for a user; the same on all threads.
pub(super) fn user_hash(user: &UserId) -> u64 {
    static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);
    HASHER.hash_one(user)
}
