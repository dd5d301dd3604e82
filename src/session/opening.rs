//! How a connection begins: its inbox is read before the upgrade is answered, and
//! `welcome` is its first message, whatever happens meanwhile.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::timeout;

use super::{
    actor::Session,
    registry::{End, Permit},
    worker::Worker,
};
use crate::{
    broker::RETRY_AFTER,
    model::{Code, LinkId, Problem, UserId, What},
    room::{self, Detach, OpenInbox, RoomSupervisor},
    wire::{Event, Limits},
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

/// A session that has still to be welcomed. `welcome` is the first message, whatever
/// happens meanwhile: an end waits until it is queued.
pub(super) struct Unwelcomed {
    inbox: Option<OpenedInbox>,
    pub(super) ending: Option<End>,
}

impl Unwelcomed {
    pub(super) fn new(inbox: OpenedInbox) -> Self {
        Self { inbox: Some(inbox), ending: None }
    }
}

impl Session {
    /// Makes the session one of its worker's, which has read the inbox before: so this
    /// waits for nothing but its turn. The client is not read before, and its requests wait.
    pub(super) fn attach(&mut self, ctx: &mut Context<Self>) {
        let inbox = self.unwelcomed().and_then(|it| it.inbox.take());
        let Some(member) = &self.member else { return };
        let settings = &self.services().settings;
        let attach = room::Attach {
            link: self.link(),
            session: self.permit.session().clone(),
            profile: member.identity.profile.clone(),
            welcome: room::Welcome {
                node: self.services().node.clone(),
                heartbeat_interval: settings.heartbeat.interval,
                heartbeat_timeout: settings.heartbeat.timeout,
                expires_at: member.identity.expires_at,
                limits: Limits {
                    message_bytes: settings.limits.message_bytes,
                    rooms_per_session: settings.limits.rooms_per_session,
                    messages_per_second: settings.limits.messages_per_second,
                },
            },
        };
        self.begin();
        if self.outbound.protocol().is_answered() {
            self.gate.set_full(true);
        }
        let attached = self.worker.rooms.send(attach).into_actor(self);
        if let Some(inbox) = inbox {
            inbox.begin();
        }
        ctx.spawn(attached.map(|attached, act, ctx| match attached {
            Ok(Ok(())) => act.welcomed(ctx),
            // The supervisor panicked since it read the inbox. Nothing of an answer was
            // written, and nothing is: the client sees the connection end, and comes back.
            Ok(Err(room::NotOpened)) | Err(_) => {
                act.lost = true;
                ctx.stop();
            }
        }));
    }

    /// `welcome` is on its way: what had to wait for it follows.
    fn welcomed(&mut self, ctx: &mut Context<Self>) {
        let unwelcomed = self.member.as_mut().and_then(|member| member.unwelcomed.take());
        self.outbound.release();
        let transport = self.transport();
        self.trace(None, || What::Connected { transport });
        if let Some(end) = unwelcomed.and_then(|it| it.ending) {
            return self.tell_end(end, ctx);
        }
        self.watch_expiry(ctx);
        self.done(ctx);
    }

    pub(super) fn tell_end(
        &mut self,
        End { farewell, reconnect_after }: End,
        ctx: &mut Context<Self>,
    ) {
        if let Some(after) = reconnect_after {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            self.notice(&Event::Closing { farewell, reconnect: true, after_ms });
        }
        self.end(farewell, true, ctx);
    }

    pub(super) fn unwelcomed(&mut self) -> Option<&mut Unwelcomed> {
        self.member.as_mut()?.unwelcomed.as_mut()
    }
}
