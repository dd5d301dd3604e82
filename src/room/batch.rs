use std::{cell::Cell, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::seat::{Seat, user_hash};
use crate::{
    metrics::WorkerMetrics,
    model::{Author, Body, Publication, RoomName, Seq, Transient, UserId},
    outbound::{LatestKey, LatestValue},
    wire::{Event, EventKind, Protocol, encode},
};

/// Frames one after the other, ready for one write.
pub(super) fn joined<'a>(frames: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
    if frames.len() == 1 {
        return frames.last().cloned().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(frames.clone().map(Bytes::len).sum());
    for frame in frames {
        all.extend_from_slice(frame);
    }
    all.freeze()
}

/// A live message of the reliable lane that waits to leave.
pub(super) enum Live {
    /// An entry of the log.
    Published(Arc<Publication>),
    /// The copy of a `direct` for its sender's sessions.
    Copy(Arc<Transient>),
}

/// The same, encoded once for all members that speak one protocol.
struct Encoded {
    /// Its place; none for what is in no log.
    seq: Option<Seq>,
    /// As all but its writer see it.
    frame: Bytes,
    /// As its writer's own sessions see it, where that differs.
    own_frame: Option<Bytes>,
    kind: EventKind,
    /// To how many it went by itself, beside those who got the whole batch.
    sent: Cell<u64>,
    /// To how many of its writer's sessions.
    own_sent: Cell<u64>,
    author: Author,
    /// Of the author, where the message is not the same for everybody.
    special: Option<u64>,
}

impl Encoded {
    fn new(live: &Live, protocol: Protocol, has_writer: impl Fn(u64) -> bool) -> Option<Self> {
        match live {
            Live::Published(publication) => {
                Some(Self::published(publication, protocol, has_writer))
            }
            Live::Copy(transient) => Self::copy(transient, protocol),
        }
    }

    fn published(
        publication: &Publication,
        protocol: Protocol,
        has_writer: impl Fn(u64) -> bool,
    ) -> Self {
        let author = publication.author.clone();
        let differs = publication.nonce.is_some() || !author.echo;
        let special = author.user.as_ref().filter(|_| differs).map(user_hash);
        let event = |own| Event::Published { publication, own };
        let show = |own| encode(protocol, &event(own));
        Self {
            seq: Some(publication.seq),
            frame: show(false),
            own_frame: special.filter(|hash| has_writer(*hash)).map(|_| show(true)),
            kind: EventKind::of(&event(false)),
            sent: Cell::default(),
            own_sent: Cell::default(),
            author,
            special,
        }
    }

    fn copy(transient: &Transient, protocol: Protocol) -> Option<Self> {
        let Transient::DirectCopy { from, to, payload, timestamp, nonce } = transient else {
            return None;
        };
        let (timestamp, nonce) = (*timestamp, nonce.as_deref());
        let event = Event::DirectCopy { from, to, payload, timestamp, nonce };
        Some(Self {
            seq: None,
            frame: encode(protocol, &event),
            own_frame: None,
            kind: EventKind::of(&event),
            sent: Cell::default(),
            own_sent: Cell::default(),
            author: Author { user: Some(from.clone()), session: None, echo: true },
            special: None,
        })
    }

    /// As the seat is to see it, if it is.
    fn for_seat(&self, seat: &Seat) -> Option<&Bytes> {
        if self.seq.is_some_and(|seq| seq <= seat.cursor) || self.author.left_out(&seat.session) {
            return None;
        }
        match &self.own_frame {
            Some(own) if self.author.user.as_ref() == Some(&seat.user) => {
                self.own_sent.set(self.own_sent.get() + 1);
                Some(own)
            }
            _ => {
                self.sent.set(self.sent.get() + 1);
                Some(&self.frame)
            }
        }
    }

    /// Counts where it went; answers to how many.
    fn count(&self, whole: u64, metrics: &WorkerMetrics) -> u64 {
        let (plain, own) = (whole + self.sent.get(), self.own_sent.get());
        let own_bytes = self.own_frame.as_ref().map_or(0, Bytes::len) as u64;
        metrics.sent(self.kind, plain + own, plain * self.frame.len() as u64 + own * own_bytes);
        plain + own
    }
}

/// Live messages that leave together, for members that speak one protocol.
pub(super) struct LiveBatch {
    entries: Vec<Encoded>,
    all: Bytes,
    first: Seq,
    special: Vec<u64>,
    /// How many got all of it.
    whole: Cell<u64>,
}

impl LiveBatch {
    /// `has_writer` tells whether a user with this hash is among the members.
    pub(super) fn new(
        entries: &[Live],
        protocol: Protocol,
        has_writer: impl Fn(u64) -> bool,
    ) -> Self {
        let entries: Vec<Encoded> =
            entries.iter().filter_map(|live| Encoded::new(live, protocol, &has_writer)).collect();
        let all = joined(entries.iter().map(|entry| &entry.frame));
        let first = entries.iter().find_map(|entry| entry.seq).unwrap_or(Seq::MAX);
        let mut special: Vec<u64> = entries.iter().filter_map(|entry| entry.special).collect();
        special.sort_unstable();
        special.dedup();
        Self { entries, all, first, special, whole: Cell::default() }
    }

    pub(super) fn send(&self, seat: &Seat) {
        let plain =
            seat.cursor < self.first && self.special.binary_search(&seat.user_hash).is_err();
        if plain {
            self.whole.set(self.whole.get() + 1);
            seat.outbound.send_live(&self.all, self.entries.len());
            return;
        }
        let frames: Vec<&Bytes> = self.entries.iter().filter_map(|it| it.for_seat(seat)).collect();
        if !frames.is_empty() {
            seat.outbound.send_live(&joined(frames.iter().copied()), frames.len());
        }
    }

    /// Counts what was sent; answers how many deliveries that were.
    pub(super) fn count(&self, metrics: &WorkerMetrics) -> u64 {
        self.entries.iter().map(|entry| entry.count(self.whole.get(), metrics)).sum()
    }
}

/// Who is not told of a latest value.
enum Except {
    /// All sessions of the user: signals go to the other members.
    User(UserId),
    /// The session that wrote it with `echo: false`.
    Writer(Author),
    Nobody,
}

/// What a value of the latest lane says.
enum Said {
    /// A write to the shared state.
    Set(Arc<Publication>),
    /// A signal or a sign of typing.
    Transient(RoomName, Arc<Transient>),
}

impl Said {
    fn kind(&self) -> EventKind {
        match self {
            Self::Set(_) => EventKind::Set,
            Self::Transient(_, transient) => match &**transient {
                Transient::Signal { .. } => EventKind::Signal,
                Transient::Typing { .. } => EventKind::Typing,
                Transient::DirectCopy { .. } => EventKind::Direct,
            },
        }
    }

    fn encode(&self, protocol: Protocol) -> Bytes {
        match self {
            Self::Set(publication) => {
                encode(protocol, &Event::Published { publication, own: false })
            }
            Self::Transient(room, transient) => match &**transient {
                Transient::Signal { user, event, data } => {
                    encode(protocol, &Event::Signal { room, user, event, data })
                }
                Transient::Typing { user, active } => {
                    encode(protocol, &Event::Typing { room, user, active: *active })
                }
                Transient::DirectCopy { .. } => Bytes::new(),
            },
        }
    }
}

/// A value of the latest lane that waits to leave.
pub(super) struct Latest {
    said: Said,
    /// The place of a `set`; none for what is in no log.
    seq: Option<Seq>,
    except: Except,
    /// How many members the room had taken in when it was said.
    generation: u64,
}

impl Latest {
    /// A write to the shared state, and under which key it waits.
    pub(super) fn set(
        publication: &Arc<Publication>,
        generation: u64,
    ) -> Option<(LatestKey, Self)> {
        let Body::Set { key, .. } = &publication.body else { return None };
        let author = &publication.author;
        let except = if author.echo { Except::Nobody } else { Except::Writer(author.clone()) };
        let key = LatestKey::State(publication.room.clone(), key.clone());
        let (said, seq) = (Said::Set(publication.clone()), Some(publication.seq));
        Some((key, Self { said, seq, except, generation }))
    }

    /// A signal or a sign of typing, and under which key it waits.
    pub(super) fn transient(
        room: &RoomName,
        transient: &Arc<Transient>,
        generation: u64,
    ) -> Option<(LatestKey, Self)> {
        let (key, user) = match &**transient {
            Transient::Signal { user, event, .. } => {
                (LatestKey::Signal(room.clone(), user.clone(), Arc::clone(event)), user)
            }
            Transient::Typing { user, .. } => (LatestKey::Typing(room.clone(), user.clone()), user),
            Transient::DirectCopy { .. } => return None,
        };
        let except = Except::User(user.clone());
        let said = Said::Transient(room.clone(), transient.clone());
        Some((key, Self { said, seq: None, except, generation }))
    }

    /// Whether it has a place in the log.
    pub(super) fn is_logged(&self) -> bool {
        self.seq.is_some()
    }

    fn is_for(&self, seat: &Seat) -> bool {
        let told = self.seq.is_some_and(|seq| seq <= seat.cursor);
        let excepted = match &self.except {
            Except::User(user) => *user == seat.user,
            Except::Writer(author) => author.left_out(&seat.session),
            Except::Nobody => false,
        };
        !told && !excepted && self.generation >= seat.generation
    }
}

/// Latest values that leave together, for members that speak one protocol.
pub(super) struct LatestBatch<'a> {
    entries: Vec<(&'a LatestKey, &'a Latest, LatestValue, Bytes)>,
    /// To how many each entry went by itself.
    sent: Vec<Cell<u64>>,
    /// How many got all of it.
    whole: Cell<u64>,
    all: Bytes,
    first: Seq,
    generation: u64,
    special: Vec<u64>,
}

impl<'a> LatestBatch<'a> {
    pub(super) fn new(
        entries: impl Iterator<Item = (&'a LatestKey, &'a Latest)>,
        protocol: Protocol,
    ) -> Self {
        let entries: Vec<_> = entries
            .map(|(key, latest)| {
                let frame = latest.said.encode(protocol);
                (key, latest, LatestValue::Frame(frame.clone()), frame)
            })
            .collect();
        let all = joined(entries.iter().map(|(.., frame)| frame));
        let latest = entries.iter().map(|(_, latest, ..)| *latest);
        let first = latest.clone().filter_map(|it| it.seq).min().unwrap_or(Seq::MAX);
        let generation = latest.clone().map(|it| it.generation).min().unwrap_or(0);
        let writer = |latest: &Latest| match &latest.except {
            Except::User(user) => Some(user_hash(user)),
            Except::Writer(author) => author.user.as_ref().map(user_hash),
            Except::Nobody => None,
        };
        let mut special: Vec<u64> = latest.filter_map(writer).collect();
        special.sort_unstable();
        special.dedup();
        let sent = entries.iter().map(|_| Cell::default()).collect();
        Self { entries, sent, whole: Cell::default(), all, first, generation, special }
    }

    pub(super) fn send(&self, seat: &Seat) {
        let plain = seat.cursor < self.first
            && seat.generation <= self.generation
            && self.special.binary_search(&seat.user_hash).is_err();
        if plain {
            self.whole.set(self.whole.get() + 1);
            let values = self.entries.iter().map(|(key, _, value, _)| (*key, value));
            seat.outbound.send_latest(&self.all, values);
            return;
        }
        let counted = self.entries.iter().zip(&self.sent);
        let entries: Vec<_> = counted
            .filter(|((_, it, ..), _)| it.is_for(seat))
            .map(|(entry, sent)| {
                sent.set(sent.get() + 1);
                entry
            })
            .collect();
        if !entries.is_empty() {
            let frames = joined(entries.iter().map(|(.., frame)| frame));
            let values = entries.iter().map(|(key, _, value, _)| (*key, value));
            seat.outbound.send_latest(&frames, values);
        }
    }

    /// Counts what was sent; answers how many deliveries that were.
    pub(super) fn count(&self, metrics: &WorkerMetrics) -> u64 {
        let count = |((_, latest, _, frame), sent): (&(_, &Latest, _, Bytes), &Cell<u64>)| {
            let sent = self.whole.get() + sent.get();
            metrics.sent(latest.said.kind(), sent, sent * frame.len() as u64);
            sent
        };
        self.entries.iter().zip(&self.sent).map(count).sum()
    }
}
