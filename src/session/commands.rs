//! What a session does with each request of its client. A request is answered
//! at once or, where the broker or the room has to be asked, by a future that
//! ends with [`Session::done`]; the requests behind it wait.

use std::{future::Future, sync::Arc};

use actix::prelude::*;

use super::{
    actor::{Member, Session},
    writing::{direct, publish_problem},
};
use crate::{
    auth::{Action, AuthError, Identity},
    backend::{Asker, Who},
    broker::{PageRequest, PublishError, RESUME_PAGE, Receipt, Start, Unavailable},
    model::{
        Author, Body, CallId, Code, Draft, Payload, Position, Problem, RoomName, Said, Transient,
        UserId, What, wall_clock,
    },
    presence, room,
    wire::{Command, Event, RequestId, Since, Token},
};

type Id = Option<RequestId>;

/// What a client names the version of a key in.
const IF_VERSION: &str = "if_version";

impl Session {
    /// Answers a request, or begins to.
    pub(super) fn execute(
        &mut self,
        id: Id,
        command: Result<Command, Problem>,
        ctx: &mut Context<Self>,
    ) {
        let begun = command.and_then(|command| self.begin_command(id.clone(), command, ctx));
        if let Err(problem) = begun {
            self.refuse(&id, &problem);
        }
    }

    fn begin_command(
        &mut self,
        id: Id,
        command: Command,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        match command {
            Command::Join { room, since, history, listen: true } => {
                let (start, sees) = self.view(&room, since, history)?;
                self.join(id, room, start, Some(sees), ctx)
            }
            Command::Join { room, listen: false, .. } => self.join(id, room, Start::End, None, ctx),
            Command::Leave { room } => self.leave(id, room),
            Command::Publish { room, payload, nonce, echo } => {
                self.require_member(&room, Action::Publish)?;
                let author = self.author(echo)?;
                let draft = Draft { author, body: Body::Message(payload), nonce, if_version: None };
                self.publish(id, room, draft, ctx)
            }
            Command::Set { room, key, value, if_version, nonce, echo } => {
                self.require_member(&room, Action::Set)?;
                let author = self.author(echo)?;
                let draft = Draft { author, body: Body::Set { key, value }, nonce, if_version };
                self.publish(id, room, draft, ctx)
            }
            Command::Signal { room, event, data } => {
                self.require_member(&room, Action::Publish)?;
                let transient = Transient::Signal { user: self.user()?, event, data };
                self.relay(id, room, transient, ctx);
                Ok(())
            }
            Command::Typing { room, active } => {
                self.require_member(&room, Action::Publish)?;
                let transient = Transient::Typing { user: self.user()?, active };
                self.relay(id, room, transient, ctx);
                Ok(())
            }
            Command::Direct { to, payload, nonce } => self.direct(id, to, payload, nonce, ctx),
            Command::Seen { epoch, seq } => {
                let user = self.user()?;
                let broker = self.services().broker.clone();
                let seen = async move { broker.seen(&user, epoch, seq).await };
                self.await_done(ctx, seen, move |act, seen, _| act.acknowledge(&id, seen, None));
                Ok(())
            }
            Command::Status { status, meta } => {
                let link = self.link();
                self.trace(None, || What::Status { status });
                self.worker.presence.say(presence::Request::SetStatus { link, status, meta });
                self.ack(&id, None, false);
                Ok(())
            }
            Command::Presence { room } => {
                self.require_grant(&room, Action::Presence)?;
                let list = room::ListMembers { link: self.link(), id: id.clone(), room };
                let listed = self.worker.rooms.send(list);
                self.await_done(ctx, listed, move |act, listed, _| act.settle(&id, listed));
                Ok(())
            }
            Command::Watch { users } => {
                let watch = room::Watch { link: self.link(), id: id.clone(), users };
                let watched = self.worker.rooms.send(watch);
                self.await_done(ctx, watched, move |act, watched, _| act.settle(&id, watched));
                Ok(())
            }
            Command::Unwatch { users } => {
                self.worker.rooms.do_send(room::Unwatch { link: self.link(), users });
                self.ack(&id, None, false);
                Ok(())
            }
            Command::History { room, before, after, limit } => {
                self.history(id, room, PageRequest { before, after, limit }, ctx)
            }
            Command::Refresh { token } => self.refresh(id, &token, ctx),
            Command::Ping => {
                self.answer(&Event::Pong { id: id.as_ref(), timestamp: wall_clock() });
                Ok(())
            }
        }
    }

    /// What a member is told of a room, by its grants: from where on, and what
    /// besides.
    fn view(
        &self,
        room: &RoomName,
        since: Option<Since>,
        history: Option<usize>,
    ) -> Result<(Start, room::Sees), Problem> {
        let grants = &self.member()?.identity.grants;
        let start = match (since, history) {
            _ if !grants.allows(Action::History, room) => Start::End,
            (Some(Since { epoch, seq }), _) => Start::After {
                known: epoch.map(|epoch| Position { epoch, seq }),
                otherwise: history.unwrap_or(RESUME_PAGE),
            },
            (None, Some(newest)) => Start::Newest(newest),
            (None, None) => Start::End,
        };
        Ok((start, room::Sees::granted(grants, room)))
    }

    fn join(
        &mut self,
        id: Id,
        room: RoomName,
        start: Start,
        sees: Option<room::Sees>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        self.require_grant(&room, Action::Join)?;
        let limit = self.services().settings.limits.rooms_per_session;
        let member = self.member()?;
        if !member.rooms.contains(&room) && member.rooms.len() >= limit {
            let message = format!("a session is in at most {limit} rooms");
            return Err(Problem::new(Code::TooManyRooms, message).in_room(&room));
        }
        let link = self.link();
        let join = room::Join { link, id: id.clone(), room: room.clone(), start, sees };
        // A member that joins anew was asked for when it came.
        let asker = if member.rooms.contains(&room) { None } else { self.asker()? };
        let (asked, rooms) = (room.clone(), self.worker.rooms.clone());
        let joined = async move {
            if let Some(Asking { asker, author, call }) = &asker {
                asker.join(who(author, call), &asked).await?;
            }
            rooms.send(join).await.unwrap_or_else(|_| Err(internal()))
        };
        self.await_done(ctx, joined, move |act, joined, _| {
            match joined {
                Ok(()) => {
                    if let Some(member) = &mut act.member {
                        member.joins += u64::from(member.rooms.insert(room));
                    }
                }
                Err(problem) => {
                    // It may have been a member, joining anew.
                    if let Some(member) = &mut act.member {
                        member.rooms.remove(&room);
                    }
                    act.refuse(&id, &problem);
                }
            }
        });
        Ok(())
    }

    fn leave(&mut self, id: Id, room: RoomName) -> Result<(), Problem> {
        self.member_mut()?.rooms.remove(&room);
        self.worker.rooms.do_send(room::Leave { link: self.link(), id, room });
        Ok(())
    }

    fn publish(
        &mut self,
        id: Id,
        room: RoomName,
        draft: Draft,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        let (services, asker) = (self.services().clone(), self.asker()?);
        let asked = room.clone();
        let published = async move {
            let draft = asked_for(asker, &asked, draft).await?;
            let said = services.traces.is_on().then(|| Said::of(&draft.body));
            Ok::<_, Problem>((said, services.broker.publish(&asked, draft).await))
        };
        self.await_done(ctx, published, move |act, published, _| match published {
            Ok((said, published)) => act.published(&id, &room, said, published),
            Err(problem) => act.refuse(&id, &problem),
        });
        Ok(())
    }

    fn published(
        &self,
        id: &Id,
        room: &RoomName,
        said: Option<Said>,
        published: Result<Receipt, PublishError>,
    ) {
        match published {
            Ok(receipt) => {
                if let Some(said) = said {
                    let Receipt { position: Position { epoch, seq }, duplicate } = receipt;
                    self.trace(Some(room), || What::Published { said, epoch, seq, duplicate });
                }
                self.appended(id, receipt);
            }
            Err(error) => self.refuse(id, &publish_problem(error, IF_VERSION).in_room(room)),
        }
    }

    fn appended(&self, id: &Id, Receipt { position, duplicate }: Receipt) {
        self.services().note_published(duplicate);
        self.ack(id, Some(position), duplicate);
    }

    fn relay(&mut self, id: Id, room: RoomName, transient: Transient, ctx: &mut Context<Self>) {
        let broker = self.services().broker.clone();
        self.trace(Some(&room), || What::Relayed { said: Said::of_transient(&transient) });
        let asked = room.clone();
        let relayed = async move { broker.relay(&asked, transient).await };
        self.await_done(ctx, relayed, move |act, relayed, _| {
            act.acknowledge(&id, relayed, Some(&room));
        });
    }

    /// To the recipient's inbox, and then a copy to the sender's own sessions.
    fn direct(
        &mut self,
        id: Id,
        to: UserId,
        payload: Payload,
        nonce: Option<Arc<str>>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        let author = self.author(true)?;
        let traces = self.services().traces.clone();
        let (broker, asker) = (self.services().broker.clone(), self.asker()?);
        let sent = async move {
            let inbox = RoomName::inbox(&to);
            let body = Body::Direct { to: to.clone(), payload };
            let draft = Draft { author, body, nonce, if_version: None };
            let Draft { author, body, nonce, .. } = asked_for(asker, &inbox, draft).await?;
            let said = traces.is_on().then(|| Said::of(&body));
            let Body::Direct { to, payload } = body else { return Err(internal()) };
            let sent = direct(&*broker, author, to.clone(), payload, nonce).await;
            let receipt = sent.map_err(|error| publish_problem(error, IF_VERSION))?;
            Ok((to, said, receipt))
        };
        self.await_done(ctx, sent, move |act, sent, _| match sent {
            Ok((to, said, receipt)) => {
                if let Some(said) = said {
                    let seq = receipt.position.seq;
                    act.trace(None, || What::Direct { to, said, seq });
                }
                act.appended(&id, receipt);
            }
            Err(problem) => act.refuse(&id, &problem),
        });
        Ok(())
    }

    fn history(
        &mut self,
        id: Id,
        room: RoomName,
        request: PageRequest,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        self.require_grant(&room, Action::History)?;
        let viewer = self.user()?;
        let broker = self.services().broker.clone();
        let asked = room.clone();
        let read = async move { broker.page(&asked, request).await };
        self.await_done(ctx, read, move |act, read, _| match read {
            Ok(page) => act.reply(&Event::History {
                id: id.as_ref(),
                room: &room,
                epoch: page.epoch,
                messages: &page.messages,
                viewer: &viewer,
                more: page.more,
            }),
            Err(error) => act.refuse(&id, &Problem::from(error).in_room(&room)),
        });
        Ok(())
    }

    /// A new token: its time and its grants hold from now on.
    fn refresh(&mut self, id: Id, token: &Token, ctx: &mut Context<Self>) -> Result<(), Problem> {
        let verified = self.services().verifier.verify(token.as_str(), wall_clock());
        let identity = verified.map_err(|error| self.rejected(error))?;
        if identity.profile.user != self.member()?.identity.profile.user {
            let message = "`token`: expected a token of the same `sub`";
            return Err(Problem::new(Code::TokenRejected, message));
        }
        let Some(asker) = self.services().asker.clone() else {
            return self.refreshed(&id, identity, ctx);
        };
        let call = self.call().clone();
        let asked = async move { asker.connect(identity, None, &call).await };
        self.await_done(ctx, asked, move |act, asked, ctx| {
            // The rooms are for those who begin.
            let refreshed = asked.and_then(|(identity, _)| act.refreshed(&id, identity, ctx));
            if let Err(problem) = refreshed {
                act.refuse(&id, &problem);
            }
        });
        Ok(())
    }

    fn refreshed(
        &mut self,
        id: &Id,
        identity: Identity,
        ctx: &mut Context<Self>,
    ) -> Result<(), Problem> {
        self.permit().renew(&identity).map_err(|error| self.rejected(error))?;
        let expires_at = identity.expires_at;
        self.trace(None, || What::Refreshed);
        self.member_mut()?.identity = identity;
        self.reply_refreshed(id, expires_at);
        self.renew();
        self.watch_expiry(ctx);
        Ok(())
    }

    fn rejected(&self, error: AuthError) -> Problem {
        self.services().metrics.tokens_refused.count(error.cause());
        Problem::new(Code::TokenRejected, format!("`token`: {error}"))
    }

    fn reply_refreshed(&self, id: &Id, expires_at: Option<u64>) {
        self.answer(&Event::Refreshed { id: id.as_ref(), expires_at });
    }

    /// Leaves the rooms that the new grants do not allow; in the others what
    /// the new token says holds from now on.
    fn renew(&mut self) {
        let link = self.link();
        let Some(member) = &mut self.member else { return };
        let (profile, grants) = (member.identity.profile.clone(), member.identity.grants.clone());
        let rooms = &self.worker.rooms;
        member.rooms.retain(|room| {
            let stays = grants.allows(Action::Join, room);
            if !stays {
                rooms.do_send(room::Leave { link, id: None, room: room.clone() });
            }
            stays
        });
        rooms.do_send(room::Renew { link, profile, grants });
    }

    /// Waits for the answer to a request; the requests behind it wait too.
    fn await_done<F, T>(
        &mut self,
        ctx: &mut Context<Self>,
        answer: F,
        finish: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        self.begin();
        ctx.spawn(answer.into_actor(self).map(|answer, act, ctx| {
            finish(act, answer, ctx);
            act.done(ctx);
        }));
    }

    /// What the rooms were asked for is on its way, or is refused.
    fn settle(&self, id: &Id, asked: Result<Result<(), Problem>, MailboxError>) {
        if let Err(problem) = asked.unwrap_or_else(|_| Err(internal())) {
            self.refuse(id, &problem);
        }
    }

    fn acknowledge(&self, id: &Id, done: Result<(), Unavailable>, room: Option<&RoomName>) {
        match done {
            Ok(()) => self.ack(id, None, false),
            Err(error) => {
                let problem = Problem::from(error);
                let problem = match room {
                    Some(room) => problem.in_room(room),
                    None => problem,
                };
                self.refuse(id, &problem);
            }
        }
    }

    fn ack(&self, id: &Id, position: Option<Position>, duplicate: bool) {
        if let Some(id) = id {
            self.reply(&Event::Ack { id, position, duplicate });
        }
    }

    fn refuse(&self, id: &Id, problem: &Problem) {
        self.trace(problem.room.as_ref(), || What::from(problem));
        self.answer(&Event::Error { id: id.as_ref(), problem });
    }

    fn member(&self) -> Result<&Member, Problem> {
        self.member.as_ref().ok_or_else(internal)
    }

    fn member_mut(&mut self) -> Result<&mut Member, Problem> {
        self.member.as_mut().ok_or_else(internal)
    }

    fn user(&self) -> Result<UserId, Problem> {
        Ok(self.member()?.identity.profile.user.clone())
    }

    fn author(&self, echo: bool) -> Result<Author, Problem> {
        let session = Some(self.permit().session().clone());
        Ok(Author { user: Some(self.user()?), session, echo })
    }

    /// Whom to ask, where somebody is to be, and who it is that wants something.
    fn asker(&self) -> Result<Option<Asking>, Problem> {
        let Some(asker) = self.services().asker.clone() else { return Ok(None) };
        Ok(Some(Asking { asker, author: self.author(true)?, call: self.call().clone() }))
    }

    fn require_grant(&self, room: &RoomName, action: Action) -> Result<(), Problem> {
        if self.member()?.identity.grants.allows(action, room) {
            return Ok(());
        }
        let message = format!("the token's grants do not allow `{action}` in this room");
        Err(Problem::new(Code::Forbidden, message).in_room(room))
    }

    fn require_member(&self, room: &RoomName, action: Action) -> Result<(), Problem> {
        if !self.member()?.rooms.contains(room) {
            let message = "only members of the room may do this; `join` it first";
            return Err(Problem::new(Code::NotJoined, message).in_room(room));
        }
        self.require_grant(room, action)
    }
}

/// What is needed to ask a backend for a session's sake.
struct Asking {
    asker: Arc<Asker>,
    author: Author,
    call: CallId,
}

fn who<'a>(author: &'a Author, call: &'a CallId) -> Who<'a> {
    Who { user: author.user.as_ref(), session: author.session.as_ref(), call }
}

/// What is written, after the backend was asked where it is to be.
async fn asked_for(
    asking: Option<Asking>,
    room: &RoomName,
    draft: Draft,
) -> Result<Draft, Problem> {
    let Some(Asking { asker, author, call }) = asking else { return Ok(draft) };
    let body = asker.publish(who(&author, &call), room, draft.body).await?;
    Ok(Draft { body, ..draft })
}

fn internal() -> Problem {
    Problem::new(Code::Internal, "this should not have happened; the server's log may say more")
}
