use std::time::Duration;

use actix::prelude::*;
use tokio::time::timeout;

use super::{registry::Permit, worker::Worker};
use crate::{
    broker::RETRY_AFTER,
    model::{Code, LinkId, Problem, UserId},
    room::{Detach, OpenInbox, RoomSupervisor},
};

/// How long the broker may take to read the inbox of a connection that is about to
/// begin. More than the two answers of Redis that this takes, at 2 s each.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection whose inbox is read, so that nothing can keep `welcome` from it. Where
/// this is dropped the connection does not begin, and its supervisor lets go of the inbox.
pub struct OpenedInbox {
    link: LinkId,
    /// None once the connection has begun.
    rooms: Option<Addr<RoomSupervisor>>,
}

impl OpenedInbox {
    /// The connection begins: its own end lets go of the inbox.
    pub(super) fn begin(mut self) {
        self.rooms = None;
    }
}

impl Drop for OpenedInbox {
    fn drop(&mut self) {
        if let Some(rooms) = self.rooms.take() {
            rooms.do_send(Detach { link: self.link });
        }
    }
}

impl Worker {
    /// Reads the inbox of a connection that was admitted, before its upgrade is answered.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where the broker cannot do that now, or takes too long.
    pub async fn open_inbox(&self, permit: &Permit, user: &UserId) -> Result<OpenedInbox, Problem> {
        let link = permit.link();
        let opened = OpenedInbox { link, rooms: Some(self.rooms.clone()) };
        let asked = self.rooms.send(OpenInbox { link, user: user.clone() });
        let unavailable =
            |message: &str| Problem::new(Code::Unavailable, message).retry_after(RETRY_AFTER);
        match timeout(OPEN_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer.map(|()| opened),
            Ok(Err(_)) => Err(unavailable("the worker has just begun anew")),
            Err(_) => Err(unavailable("the broker takes too long to answer")),
        }
    }
}
