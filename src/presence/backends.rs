//! Backends, as the presence of a node alone tells them who comes and goes.
//! Where there are other nodes Redis does, which sees all of them.

use std::time::Instant;

use actix::prelude::*;

use super::{messages::Finish, supervisor::PresenceSupervisor};
use crate::{
    backend::{Due, Resync, What},
    model::{RoomName, UserId},
};

impl PresenceSupervisor {
    /// A user came into a room, or left it.
    pub(super) fn tell_backends(&self, room: &RoomName, user: UserId, came: bool, alone: bool) {
        let Some(queue) = &self.queue else { return };
        if came && alone {
            queue.tell(room, &What::Occupied);
        }
        if !room.is_inbox() {
            queue.tell(room, &if came { What::Joined(user) } else { What::Left(user) });
        }
        if !came && alone {
            queue.tell(room, &What::Vacated);
        }
    }

    /// Tells how the rooms are of which something was left out, where there is
    /// place again for it.
    pub(super) fn tell_anew(&self) {
        let Some(queue) = &self.queue else { return };
        for (hook, due) in queue.due() {
            let rooms = match due {
                Due::Rooms(rooms) => rooms,
                Due::All => {
                    queue.reset(hook);
                    self.roster.occupied().into_iter().map(|room| (room, 0)).collect()
                }
            };
            for (room, lost) in rooms {
                let users = self.roster.users(&room);
                let count = users.len();
                let members = (count <= Resync::NAMED).then_some(users);
                queue.resync(hook, &room, Resync { lost, count, members });
            }
        }
    }
}

impl Handler<Finish> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Finish: Finish, ctx: &mut Self::Context) {
        self.guarded(ctx, |it| it.roster.end(Instant::now()));
    }
}
