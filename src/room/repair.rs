//! A hole in a room's `seq` is filled from its log; where the log does not reach
//! back, the members are told so.
//!
//! While a repair is under way, the room lets go of live messages, because the log has
//! them. So every repair has to end:
//!
//! ```text
//!  begin ──read the log──► the log goes on ─────────────────────► repaired
//!    ▲          │          the log does not ──ask presence──► restarted
//!    │          ▼ error, or nothing              │
//!    └── give up, after RETRY_AFTER or ◄─────────┘ nothing
//!        REPAIR_TIMEOUT
//! ```
//!
//! A room may be left and joined again meanwhile. The invariant: only the answer to the
//! room's current repair, by its [`RepairId`], changes the room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use log::warn;
use tokio::time::{sleep, timeout};

use super::{
    fanout::Accepted,
    supervisor::{Question, RoomSupervisor},
};
use crate::{
    broker::{Inbox, RESUME_PAGE, RETRY_AFTER, Snapshot, Start, Unavailable},
    metrics::RepairCause,
    model::{Member, Position, Publication, RoomName, Seq, UserId},
    outbound::StatePages,
    presence,
    wire::{Event, EventKind, encode},
};

/// How long a repair waits for the log, and then for presence, before another repair
/// takes its place. Redis is waited for 2 s at most, so in practice only a defect, or a
/// disk that stalls, takes longer.
#[cfg(not(test))]
const REPAIR_TIMEOUT: Duration = Duration::from_secs(10);
#[cfg(test)]
const REPAIR_TIMEOUT: Duration = Duration::from_secs(1);

/// Names one repair of one room within this process, so that an answer to an earlier
/// repair, or to one of an earlier room of that name, is not taken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairId(u64);

impl RepairId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Which repair of a room is under way.
#[derive(Debug, Default)]
pub(super) struct RepairState {
    current: Option<RepairId>,
    /// Whether the current repair may have read the log too early for what it was
    /// wanted for since.
    again: bool,
}

impl RepairState {
    pub(super) fn is_active(&self) -> bool {
        self.current.is_some()
    }

    pub(super) fn is(&self, repair: RepairId) -> bool {
        self.current == Some(repair)
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> Option<RepairId> {
        self.current
    }

    pub(super) fn begin(&mut self) -> Option<RepairId> {
        if self.is_active() {
            self.again = true;
            return None;
        }
        self.again = false;
        self.current = Some(RepairId::next());
        self.current
    }

    /// Ends a repair; whether another one has to follow. `None` if it is not under way.
    pub(super) fn end(&mut self, repair: RepairId) -> Option<bool> {
        self.current.take_if(|current| *current == repair)?;
        Some(std::mem::take(&mut self.again))
    }
}

/// The time of a repair that asked presence is over.
#[derive(Message)]
#[rtype(result = "()")]
struct Overdue {
    room: RoomName,
    repair: RepairId,
}

impl RoomSupervisor {
    /// Reads from the log what the fan-out of a room is missing.
    pub(super) fn repair(&mut self, name: &RoomName, cause: RepairCause, ctx: &mut Context<Self>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(known) = room.position() else { return };
        let Some(repair) = room.begin_repair() else { return };
        let start = Start::After { known: Some(known), otherwise: RESUME_PAGE };
        let broker = self.broker.clone();
        let asked = name.clone();
        let name = name.clone();
        let read = async move { timeout(REPAIR_TIMEOUT, broker.snapshot(&asked, start)).await };
        ctx.spawn(read.into_actor(self).map(move |read, act, ctx| match read {
            Ok(Ok(snapshot)) if snapshot.recovered => {
                act.repaired(&name, (repair, cause), &snapshot, ctx);
            }
            Ok(Ok(snapshot)) => match name.inbox_owner() {
                Some(user) => act.restart_inbox(name, user, (repair, cause), known, ctx),
                None => act.restart(name, repair, snapshot, ctx),
            },
            Ok(Err(unavailable)) => act.repair_later(name, (repair, cause), unavailable, ctx),
            Err(_) => act.repair_overdue(&name, (repair, cause), ctx),
        }));
    }

    fn repair_later(
        &mut self,
        name: RoomName,
        repair: (RepairId, RepairCause),
        unavailable: Unavailable,
        ctx: &mut Context<Self>,
    ) {
        warn!("the log of a room could not be read to fill a gap: {unavailable}");
        ctx.run_later(RETRY_AFTER, move |act, ctx| act.repair_anew(&name, repair, ctx));
    }

    fn repair_overdue(
        &mut self,
        name: &RoomName,
        repair: (RepairId, RepairCause),
        ctx: &mut Context<Self>,
    ) {
        warn!("the log of a room was not read within {REPAIR_TIMEOUT:?} to fill a gap");
        self.repair_anew(name, repair, ctx);
    }

    /// The log of an inbox does not reach back, or is another one. Its user's sessions get
    /// what is unseen in it, which they cannot have; they know by its epoch that places
    /// begin anew.
    fn restart_inbox(
        &mut self,
        name: RoomName,
        user: UserId,
        repair: (RepairId, RepairCause),
        known: Position,
        ctx: &mut Context<Self>,
    ) {
        if !self.rooms.get(&name).is_some_and(|room| room.is_repaired_by(repair.0)) {
            return;
        }
        self.metrics.logs_restarted.inc();
        let broker = self.broker.clone();
        let read = async move { timeout(REPAIR_TIMEOUT, broker.inbox(&user)).await };
        ctx.spawn(read.into_actor(self).map(move |read, act, ctx| match read {
            Ok(Ok(inbox)) => act.inbox_restarted(&name, repair.0, &inbox, known, ctx),
            Ok(Err(unavailable)) => act.repair_later(name, repair, unavailable, ctx),
            Err(_) => act.repair_overdue(&name, repair, ctx),
        }));
    }

    fn inbox_restarted(
        &mut self,
        name: &RoomName,
        repair: RepairId,
        inbox: &Inbox,
        known: Position,
        ctx: &mut Context<Self>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        // Up to where each session was told, in the log before.
        let told: Vec<Seq> = room.seats().iter().map(|seat| seat.cursor.max(known.seq)).collect();
        // This sends what waits, so it comes first.
        let end = Position { seq: inbox.end, ..inbox.seen };
        let Some(behind) = room.restarted(repair, end) else { return };
        for (seat, told) in room.seats().iter().zip(told) {
            let is_new = |entry: &&Arc<Publication>| entry.epoch != known.epoch || entry.seq > told;
            for publication in inbox.unseen.iter().filter(is_new) {
                let own = publication.author.user.as_ref() == Some(&seat.user);
                let event = Event::Published { publication, own };
                let frame = encode(seat.outbound.protocol(), &event);
                seat.outbound.send_live(&frame, 1);
                self.counts.sent(EventKind::Direct, 1, frame.len() as u64);
            }
            seat.outbound.flush();
        }
        if behind {
            self.repair(name, RepairCause::Gap, ctx);
        }
    }

    /// The log has what was missing.
    fn repaired(
        &mut self,
        name: &RoomName,
        (repair, cause): (RepairId, RepairCause),
        snapshot: &Snapshot,
        ctx: &mut Context<Self>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(behind) = room.repaired(repair, &snapshot.messages) else { return };
        if !snapshot.messages.is_empty() {
            self.metrics.delivery_repaired(cause);
        }
        // Sets may be among them, or nothing at all: what has nothing
        // waiting costs nothing.
        self.accepted(Accepted::Latest, name, ctx);
        self.accepted(Accepted::Live, name, ctx);
        if behind {
            self.repair(name, RepairCause::Gap, ctx);
        }
    }

    /// Begins another repair in the place of one that got no answer.
    fn repair_anew(
        &mut self,
        name: &RoomName,
        (repair, cause): (RepairId, RepairCause),
        ctx: &mut Context<Self>,
    ) {
        if self.rooms.get_mut(name).is_some_and(|room| room.give_up_repair(repair)) {
            self.repair(name, cause, ctx);
        }
    }

    /// The log does not reach back: members are told so with a fresh `joined`.
    fn restart(
        &mut self,
        room: RoomName,
        repair: RepairId,
        snapshot: Snapshot,
        ctx: &mut Context<Self>,
    ) {
        if !self.rooms.get(&room).is_some_and(|room| room.is_repaired_by(repair)) {
            return;
        }
        self.metrics.logs_restarted.inc();
        let worker = self.worker;
        let ticket = self.ticket(Question::Restart(room.clone(), repair, snapshot));
        self.presence.say(presence::Request::WhoIs { ticket, worker, room: room.clone() });
        // A task, not a timer of the actor, which looks at each of its timers whenever it
        // runs: after Redis lost its data there is one of these for each room.
        let supervisor = ctx.address();
        actix::spawn(async move {
            sleep(REPAIR_TIMEOUT).await;
            supervisor.do_send(Overdue { room, repair });
        });
    }

    pub(super) fn restarted(
        &mut self,
        name: &RoomName,
        repair: RepairId,
        snapshot: &Snapshot,
        members: &[Member],
        count: usize,
        ctx: &mut Context<Self>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(behind) = room.restarted(repair, snapshot.position) else { return };
        let mut pages = StatePages::new(name.clone(), snapshot.state.as_slice().into());
        let state = pages.take_page().to_vec();
        for seat in room.seats() {
            let told = |entry: &&Arc<Publication>| {
                seat.sees.history && !entry.author.left_out(&seat.session)
            };
            let messages: Vec<_> = snapshot.messages.iter().filter(told).cloned().collect();
            let event = Event::Joined {
                id: None,
                room: name,
                position: snapshot.position,
                recovered: false,
                messages: &messages,
                viewer: &seat.user,
                members: if seat.sees.presence { members } else { &[] },
                count,
                state: &state,
                state_more: !pages.is_done(),
            };
            seat.outbound.forget_room(name);
            let frame = encode(seat.outbound.protocol(), &event);
            seat.outbound.send_live(&frame, 1);
            self.counts.sent(EventKind::Joined, 1, frame.len() as u64);
            seat.outbound.queue_state(pages.clone());
            seat.outbound.flush();
        }
        if behind {
            self.repair(name, RepairCause::Gap, ctx);
        }
    }
}

impl Handler<Overdue> for RoomSupervisor {
    type Result = ();

    fn handle(&mut self, Overdue { room, repair }: Overdue, ctx: &mut Self::Context) {
        if !self.rooms.get(&room).is_some_and(|room| room.is_repaired_by(repair)) {
            return;
        }
        warn!("presence did not say within {REPAIR_TIMEOUT:?} who is in a room whose log was lost");
        let of_repair =
            |question: &Question| matches!(question, Question::Restart(_, it, _) if *it == repair);
        self.questions.retain(|_, question| !of_repair(question));
        self.repair_anew(&room, (repair, RepairCause::Gap), ctx);
    }
}

#[cfg(test)]
mod tests;
