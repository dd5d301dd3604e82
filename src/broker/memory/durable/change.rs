//! What became of a room, as the store is told it.

use std::{ops::Range, sync::Arc};

use crate::{
    broker::memory::room::Room,
    cluster::Revocation,
    model::{Epoch, Position, Publication, RoomName, Seq, Timestamp},
};

/// What the store has of a room besides its entries, nonces and state.
#[derive(Debug, Clone)]
pub(in crate::broker::memory) struct Head {
    pub(in crate::broker::memory) name: RoomName,
    pub(in crate::broker::memory) end: Position,
    /// The last place before the oldest entry.
    pub(in crate::broker::memory) floor: Seq,
    /// The newest timestamp given.
    pub(in crate::broker::memory) clock: Timestamp,
    /// Of an inbox: the last entry its user has seen.
    pub(in crate::broker::memory) seen: Seq,
    /// When it was written to last.
    pub(in crate::broker::memory) used: Timestamp,
}

/// How far what is kept of a room reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::memory) struct Mark {
    pub(in crate::broker::memory) last: Seq,
    /// The last place before the oldest entry.
    pub(in crate::broker::memory) floor: Seq,
    /// The place of the oldest nonce, or the one after the last.
    pub(in crate::broker::memory) nonces: Seq,
    pub(in crate::broker::memory) seen: Seq,
}

/// What of a room was given to the writer.
#[derive(Debug, Default)]
pub(in crate::broker::memory) struct Kept {
    /// None as long as nothing was.
    pub(super) mark: Option<Mark>,
    /// Under which number it was given last. Before that is written, nothing of
    /// the room is shown.
    pub(super) ticket: u64,
}

impl Kept {
    /// Whether nothing of the room was given yet.
    pub(super) fn is_new(&self) -> bool {
        self.mark.is_none()
    }
}

/// One thing to write.
#[derive(Debug)]
pub(super) enum Change {
    Room(Box<RoomChange>),
    /// A room was over its time.
    Gone(Epoch),
    Revoked(Revocation),
    /// A revocation was over its time, or let go of for others.
    Forgotten(Revocation),
}

#[derive(Debug)]
pub(super) struct RoomChange {
    pub(super) head: Head,
    /// A new entry, whether or not the log has place for it.
    pub(super) entry: Option<Arc<Publication>>,
    /// The place of the oldest nonce that is remembered.
    pub(super) nonces: Seq,
    /// Entries that were let go of.
    pub(super) dropped: Range<Seq>,
    /// The places of nonces that were.
    pub(super) forgotten: Range<Seq>,
}

impl Room {
    /// What the store does not know yet, with the entry that was just appended.
    pub(super) fn change(
        &mut self,
        name: &RoomName,
        entry: Option<Arc<Publication>>,
    ) -> Option<Change> {
        let now = self.mark();
        let before = match self.kept.mark.replace(now) {
            Some(before) if before == now && entry.is_none() => return None,
            Some(before) => before,
            None => Mark { last: 0, floor: 0, nonces: 1, seen: 0 },
        };
        // What was appended and let go of at once never was in the store.
        let dropped = before.floor + 1..now.floor.min(before.last) + 1;
        let forgotten = before.nonces..now.nonces.min(before.last + 1);
        let head = self.head(name);
        let change = RoomChange { head, entry, nonces: now.nonces, dropped, forgotten };
        Some(Change::Room(Box::new(change)))
    }
}
