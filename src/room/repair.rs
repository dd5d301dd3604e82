//! A hole in a room's `seq` is filled from its log; where the log does not reach
//! back, the members are told so.

use std::sync::Arc;

use actix::prelude::*;
use log::warn;

use super::{
    fanout::{Accepted, Room},
    supervisor::{Question, RoomSupervisor},
};
use crate::{
    broker::{Inbox, RESUME_PAGE, RETRY_AFTER, Snapshot, Start, Unavailable},
    model::{Member, Position, Publication, RoomName, Seq, UserId},
    outbound::StatePages,
    presence,
    wire::{Event, EventKind, encode},
};

impl RoomSupervisor {
    /// Reads from the log what the fan-out of a room is missing.
    pub(super) fn repair(&mut self, name: &RoomName, ctx: &mut Context<Self>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(known) = room.position() else { return };
        if !room.begin_repair() {
            return;
        }
        let start = Start::After { known: Some(known), otherwise: RESUME_PAGE };
        let broker = self.broker.clone();
        let asked = name.clone();
        let name = name.clone();
        let read = async move { broker.snapshot(&asked, start).await };
        ctx.spawn(read.into_actor(self).map(move |snapshot, act, ctx| match snapshot {
            Ok(snapshot) if snapshot.recovered => {
                let Some(room) = act.rooms.get_mut(&name) else { return };
                let behind = room.repaired(&snapshot.messages);
                if !snapshot.messages.is_empty() {
                    act.metrics.gaps_repaired.inc();
                }
                // Sets may be among them, or nothing at all: what has nothing
                // waiting costs nothing.
                act.accepted(Accepted::Latest, &name, ctx);
                act.accepted(Accepted::Live, &name, ctx);
                if behind {
                    act.repair(&name, ctx);
                }
            }
            Ok(snapshot) => match name.inbox_owner() {
                Some(user) => act.restart_inbox(name, user, known, ctx),
                None => act.restart(name, snapshot),
            },
            Err(unavailable) => act.repair_later(name, unavailable, ctx),
        }));
    }

    fn repair_later(&mut self, name: RoomName, unavailable: Unavailable, ctx: &mut Context<Self>) {
        warn!("the log of a room could not be read to fill a gap: {unavailable}");
        ctx.run_later(RETRY_AFTER, move |act, ctx| {
            if let Some(room) = act.rooms.get_mut(&name) {
                room.repaired(&[]);
                act.repair(&name, ctx);
            }
        });
    }

    /// The log of an inbox does not reach back, or is another one. Its user's sessions get
    /// what is unseen in it, which they cannot have; they know by its epoch that places
    /// begin anew.
    fn restart_inbox(
        &mut self,
        name: RoomName,
        user: UserId,
        known: Position,
        ctx: &mut Context<Self>,
    ) {
        self.metrics.logs_restarted.inc();
        let broker = self.broker.clone();
        let read = async move { broker.inbox(&user).await };
        ctx.spawn(read.into_actor(self).map(move |inbox, act, ctx| match inbox {
            Ok(inbox) => act.inbox_restarted(&name, &inbox, known, ctx),
            Err(unavailable) => act.repair_later(name, unavailable, ctx),
        }));
    }

    fn inbox_restarted(
        &mut self,
        name: &RoomName,
        inbox: &Inbox,
        known: Position,
        ctx: &mut Context<Self>,
    ) {
        // The user may have left and come back meanwhile: then nothing is missing.
        let same = |room: &&mut Box<Room>| room.position() == Some(known);
        let Some(room) = self.rooms.get_mut(name).filter(same) else { return };
        // Up to where each session was told, in the log before.
        let told: Vec<Seq> = room.seats().iter().map(|seat| seat.cursor.max(known.seq)).collect();
        // This sends what waits, so it comes first.
        let behind = room.restarted(Position { seq: inbox.end, ..inbox.seen });
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
            self.repair(name, ctx);
        }
    }

    /// The log does not reach back: members are told so with a fresh `joined`.
    fn restart(&mut self, room: RoomName, snapshot: Snapshot) {
        self.metrics.logs_restarted.inc();
        let worker = self.worker;
        let ticket = self.ticket(Question::Restart(room.clone(), snapshot));
        self.presence.say(presence::Request::WhoIs { ticket, worker, room });
    }

    pub(super) fn restarted(
        &mut self,
        name: &RoomName,
        snapshot: &Snapshot,
        members: &[Member],
        count: usize,
        ctx: &mut Context<Self>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let behind = room.restarted(snapshot.position);
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
            self.repair(name, ctx);
        }
    }
}
