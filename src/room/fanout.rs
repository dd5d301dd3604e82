use std::{
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use indexmap::IndexMap;

use super::{
    batch::{Latest, LatestBatch, Live, LiveBatch},
    repair::{RepairId, RepairState},
    seat::{Seat, Sees},
};
use crate::{
    metrics::WorkerMetrics,
    model::{LinkId, Position, PresenceChanges, Publication, RoomName, Seq, Transient},
    outbound::{LatestKey, LatestValue},
    wire::{Event, EventKind, PerProtocol, encode},
};

/// At most so many messages are kept for a session whose join is under way;
/// past that its join reads the log again.
const MISSED: usize = 1024;

/// At most so many messages are joined for one write; more leave in several.
const BATCH: usize = 256;

/// For so many members at once memory is fetched before they are written to.
const AHEAD: usize = 16;

/// What to do after something was handed to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It will leave with the next flush.
    Live,
    /// It will leave when the latest values do.
    Latest,
    /// It was known already, or nobody is to have it.
    Nothing,
    /// Messages before it are missing: the log has to be read.
    Gap,
}

/// One room on one worker: its members, how far it was fanned out, and what is
/// about to be.
pub struct Room {
    name: RoomName,
    metrics: Arc<WorkerMetrics>,
    /// Up to where the fan-out is; none before the room is subscribed.
    position: Option<Position>,
    seats: Vec<Seat>,
    index: AHashMap<LinkId, usize>,
    /// Sessions whose join is under way, with what was fanned out since they asked.
    arrivals: AHashMap<LinkId, Arrival>,
    /// How many members were taken in so far.
    generation: u64,
    live: Vec<Live>,
    latest: IndexMap<LatestKey, Latest, ahash::RandomState>,
    presence: Option<PresenceChanges>,
    /// When latest values may leave again.
    latest_at: Option<Instant>,
    /// While the log is read to fill a gap, what comes is let go: the log has it.
    repair: RepairState,
    /// The farthest place heard of while repairing.
    ahead: Option<Position>,
}

#[derive(Default)]
struct Arrival {
    missed: VecDeque<Arc<Publication>>,
    overflowed: bool,
}

impl Room {
    /// A room without members that is not subscribed yet, counted by its worker.
    pub fn new(name: RoomName, metrics: Arc<WorkerMetrics>) -> Self {
        Self {
            name,
            metrics,
            position: None,
            seats: Vec::new(),
            index: AHashMap::new(),
            arrivals: AHashMap::new(),
            generation: 0,
            live: Vec::new(),
            latest: IndexMap::default(),
            presence: None,
            latest_at: None,
            repair: RepairState::default(),
            ahead: None,
        }
    }

    /// Up to where the fan-out is; none before the room is subscribed.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The fan-out goes on after this place.
    pub fn begin(&mut self, position: Position) {
        self.position = Some(position);
    }

    /// Whether neither a member nor an arrival needs the room.
    pub fn is_deserted(&self) -> bool {
        self.seats.is_empty() && self.arrivals.is_empty()
    }

    /// The members.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// From here on what is fanned out is kept for a session whose join is
    /// under way. A member that joins again is no member until it is done.
    pub fn arrive(&mut self, link: LinkId) {
        self.remove(link);
        self.arrivals.insert(link, Arrival::default());
    }

    /// The join is done or given up: what was fanned out meanwhile; none where
    /// that was too much to keep.
    pub fn arrived(&mut self, link: LinkId) -> Option<Vec<Arc<Publication>>> {
        let arrival = self.arrivals.remove(&link)?;
        self.forget_arrivals();
        (!arrival.overflowed).then(|| arrival.missed.into())
    }

    /// Most rooms, inboxes above all, see an arrival seldom.
    fn forget_arrivals(&mut self) {
        if self.arrivals.is_empty() {
            self.arrivals = AHashMap::new();
        }
    }

    /// Takes a member in. What is about to leave goes to the others first.
    pub fn seat(&mut self, mut seat: Seat) {
        self.generation += 1;
        seat.generation = self.generation;
        self.flush_live();
        if self.presence.as_ref().is_some_and(PresenceChanges::names_users) {
            self.flush_presence();
        }
        if self.seats.is_empty() {
            // An inbox has one seat and no more, most often.
            self.seats.reserve_exact(1);
        }
        self.index.insert(seat.link(), self.seats.len());
        self.seats.push(seat);
    }

    /// Takes a member out; whether it was one.
    pub fn remove(&mut self, link: LinkId) -> bool {
        if self.arrivals.remove(&link).is_some() {
            self.forget_arrivals();
        }
        let Some(at) = self.index.remove(&link) else { return false };
        self.flush_live();
        self.seats.swap_remove(at);
        if let Some(moved) = self.seats.get(at) {
            self.index.insert(moved.link(), at);
        }
        true
    }

    /// Changes what a member's grants let it see.
    pub fn regrant(&mut self, link: LinkId, sees: Sees) {
        if let Some(seat) = self.index.get(&link).and_then(|at| self.seats.get_mut(*at)) {
            seat.sees = sees;
        }
    }

    /// The broker hands on an entry of the log.
    pub fn publish(&mut self, publication: &Arc<Publication>) -> Accepted {
        let Some(position) = self.position else { return Accepted::Nothing };
        let place = Position { epoch: publication.epoch, seq: publication.seq };
        if self.repair.is_active() {
            self.ahead = Some(place);
            return Accepted::Nothing;
        }
        if place.epoch == position.epoch && place.seq <= position.seq {
            return Accepted::Nothing;
        }
        if place.epoch != position.epoch || place.seq != position.seq + 1 {
            self.ahead = Some(place);
            return Accepted::Gap;
        }
        self.accept(publication)
    }

    /// The broker tells where the log ends.
    pub fn reaches(&mut self, end: Position) -> Accepted {
        let Some(position) = self.position else { return Accepted::Nothing };
        if end.epoch == position.epoch && end.seq <= position.seq {
            return Accepted::Nothing;
        }
        self.ahead = Some(end);
        if self.repair.is_active() { Accepted::Nothing } else { Accepted::Gap }
    }

    /// Takes the next entry of the log.
    fn accept(&mut self, publication: &Arc<Publication>) -> Accepted {
        self.position = Some(Position { epoch: publication.epoch, seq: publication.seq });
        for arrival in self.arrivals.values_mut() {
            if arrival.missed.len() < MISSED {
                arrival.missed.push_back(publication.clone());
            } else {
                arrival.overflowed = true;
                arrival.missed.clear();
            }
        }
        if self.seats.is_empty() {
            return Accepted::Nothing;
        }
        if let Some((key, latest)) = Latest::set(publication, self.generation) {
            self.latest.insert(key, latest);
            return Accepted::Latest;
        }
        self.live.push(Live::Published(publication.clone()));
        // Under a steady flood the turn, and with it its flush, does not end.
        if self.live.len() >= BATCH {
            self.flush_live();
        }
        Accepted::Live
    }

    /// The broker hands on something that is in no log.
    pub fn relay(&mut self, transient: &Arc<Transient>) -> Accepted {
        if self.seats.is_empty() {
            return Accepted::Nothing;
        }
        if matches!(**transient, Transient::DirectCopy { .. }) {
            self.live.push(Live::Copy(transient.clone()));
            return Accepted::Live;
        }
        match Latest::transient(&self.name, transient, self.generation) {
            Some((key, latest)) => {
                self.latest.insert(key, latest);
                Accepted::Latest
            }
            None => Accepted::Nothing,
        }
    }

    /// Somebody came, went or changed.
    pub fn presence(&mut self, changes: &PresenceChanges) {
        match &mut self.presence {
            Some(earlier) => earlier.merge(changes),
            None => self.presence = Some(changes.clone()),
        }
    }

    /// The log is about to be read to fill a gap. `None` while an earlier repair is under
    /// way: another one follows it, because it may have read the log already.
    pub fn begin_repair(&mut self) -> Option<RepairId> {
        self.repair.begin()
    }

    /// Whether this repair is under way. An answer to any other one comes too late.
    pub fn is_repaired_by(&self, repair: RepairId) -> bool {
        self.repair.is(repair)
    }

    #[cfg(test)]
    pub(super) fn current_repair(&self) -> Option<RepairId> {
        self.repair.current()
    }

    /// Gives up a repair that got no answer, for another one to begin; whether it was
    /// under way.
    pub fn give_up_repair(&mut self, repair: RepairId) -> bool {
        self.repair.end(repair).is_some()
    }

    /// The log gave the entries after the fan-out's position. Answers whether
    /// more is missing by now; `None`, and changes nothing, if this repair is not
    /// under way.
    pub fn repaired(&mut self, repair: RepairId, entries: &[Arc<Publication>]) -> Option<bool> {
        let again = self.repair.end(repair)?;
        for entry in entries {
            self.accept(entry);
        }
        Some(self.is_behind() || again)
    }

    /// The log does not reach back: the fan-out goes on elsewhere, after each
    /// member was told. Answers as [`repaired`](Self::repaired) does.
    pub fn restarted(&mut self, repair: RepairId, position: Position) -> Option<bool> {
        let again = self.repair.end(repair)?;
        self.flush_live();
        self.latest.retain(|_, latest| !latest.is_logged());
        self.position = Some(position);
        for seat in &mut self.seats {
            seat.cursor = position.seq;
        }
        // What they had missed belongs to what is gone.
        for arrival in self.arrivals.values_mut() {
            arrival.overflowed = true;
            arrival.missed.clear();
        }
        Some(self.is_behind() || again)
    }

    fn is_behind(&mut self) -> bool {
        let (Some(ahead), Some(position)) = (self.ahead.take(), self.position) else {
            return false;
        };
        ahead.epoch != position.epoch || ahead.seq > position.seq
    }

    /// Sends the messages of this turn.
    pub fn flush_live(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let began = Instant::now();
        let (live, seats) = (std::mem::take(&mut self.live), &self.seats);
        let has_writer = |hash| seats.iter().any(|seat| seat.user_hash == hash);
        let batches = PerProtocol::default();
        for seat in warmed(seats) {
            let batch = batches.get(seat.protocol, |it| LiveBatch::new(&live, it, has_writer));
            batch.send(seat);
        }
        let deliveries = batches.made().map(|batch| batch.count(&self.metrics)).sum();
        self.metrics.fanned_out(deliveries, began.elapsed());
    }

    /// When the waiting latest values may leave; none if none wait.
    pub fn latest_due(&self) -> Option<Option<Instant>> {
        (self.presence.is_some() || !self.latest.is_empty()).then_some(self.latest_at)
    }

    /// Sends the waiting latest values; the next ones wait for `coalesce`.
    pub fn flush_latest(&mut self, now: Instant, coalesce: Duration) {
        self.latest_at = Some(now + coalesce);
        if !self.latest.is_empty() {
            let began = Instant::now();
            let batches = PerProtocol::default();
            for seat in warmed(&self.seats) {
                let make = |protocol| LatestBatch::new(self.latest.iter(), protocol);
                batches.get(seat.protocol, make).send(seat);
            }
            let deliveries = batches.made().map(|batch| batch.count(&self.metrics)).sum();
            self.metrics.fanned_out(deliveries, began.elapsed());
            drop(batches);
            self.latest.clear();
        }
        self.flush_presence();
    }

    fn flush_presence(&mut self) {
        let Some(changes) = self.presence.take() else { return };
        let began = Instant::now();
        let diff = changes.to_diff();
        let event = Event::Presence { room: &self.name, diff: &diff };
        let frames = PerProtocol::default();
        let key = LatestKey::Presence(self.name.clone());
        let value = LatestValue::Presence(Rc::new(changes));
        let (mut told, mut bytes) = (0, 0);
        for seat in warmed(&self.seats).filter(|seat| seat.sees.presence) {
            let frame = frames.get(seat.protocol, |protocol| encode(protocol, &event));
            seat.outbound.send_latest(frame, [(&key, &value)]);
            told += 1;
            bytes += frame.len() as u64;
        }
        self.metrics.sent(EventKind::Presence, told, bytes);
        self.metrics.fanned_out(told, began.elapsed());
    }
}

/// The members in their order, to be written to one after the other. What that
/// needs of each lies somewhere else and is seldom in a cache: it is read for
/// several members beforehand, so that the processor waits for all of it at once.
/// About half of our own share of a delivery was that waiting (docs/benchmarks.md).
fn warmed(seats: &[Seat]) -> impl Iterator<Item = &Seat> {
    seats.chunks(AHEAD).flat_map(|some| {
        some.iter().for_each(|seat| seat.outbound.warm());
        some
    })
}

/// The place up to which a session that joins is told by `joined`, and the
/// entries it has to get after it; none where both do not belong together, so
/// that the log has to be read again.
pub(super) fn continued(
    position: Position,
    missed: Vec<Arc<Publication>>,
) -> Option<(Seq, Vec<Arc<Publication>>)> {
    let after: Vec<_> = missed
        .into_iter()
        .filter(|entry| entry.epoch != position.epoch || entry.seq > position.seq)
        .collect();
    let fits = after
        .iter()
        .zip(position.seq + 1..)
        .all(|(entry, seq)| entry.epoch == position.epoch && entry.seq == seq);
    let end = after.last().map_or(position.seq, |entry| entry.seq);
    fits.then_some((end, after))
}
