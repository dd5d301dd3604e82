use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::seat::{Seat, user_hash};
use crate::{
    model::{Author, Body, Payload, Publication, RoomName, Seq, Timestamp, Transient, UserId},
    outbound::{LatestKey, LatestValue},
    wire::{Event, Protocol, encode},
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

/// A live message of the reliable lane, encoded once for all members.
pub(super) struct Live {
    /// Its place; none for what is in no log.
    seq: Option<Seq>,
    /// As all but its writer see it.
    frame: Bytes,
    /// As its writer's own sessions see it, where that differs.
    own_frame: Option<Bytes>,
    author: Author,
    /// Of the author, where the message is not the same for everybody.
    special: Option<u64>,
}

impl Live {
    pub(super) fn published(publication: &Publication, has_writer: impl Fn(u64) -> bool) -> Self {
        let author = publication.author.clone();
        let differs = publication.nonce.is_some() || !author.echo;
        let special = author.user.as_ref().filter(|_| differs).map(user_hash);
        let show = |own| encode(Protocol::Json, &Event::Published { publication, own });
        Self {
            seq: Some(publication.seq),
            frame: show(false),
            own_frame: special.filter(|hash| has_writer(*hash)).map(|_| show(true)),
            author,
            special,
        }
    }

    pub(super) fn direct_copy(
        from: &UserId,
        to: &UserId,
        payload: &Payload,
        timestamp: Timestamp,
        nonce: Option<&str>,
    ) -> Self {
        let event = Event::DirectCopy { from, to, payload, timestamp, nonce };
        Self {
            seq: None,
            frame: encode(Protocol::Json, &event),
            own_frame: None,
            author: Author { user: Some(from.clone()), session: None, echo: true },
            special: None,
        }
    }

    /// As the seat is to see it, if it is.
    fn for_seat(&self, seat: &Seat) -> Option<&Bytes> {
        if self.seq.is_some_and(|seq| seq <= seat.cursor) || self.author.left_out(&seat.session) {
            return None;
        }
        match &self.own_frame {
            Some(own) if self.author.user.as_ref() == Some(&seat.user) => Some(own),
            _ => Some(&self.frame),
        }
    }
}

/// Live messages that leave together.
pub(super) struct LiveBatch {
    entries: Vec<Live>,
    all: Bytes,
    first: Seq,
    special: Vec<u64>,
}

impl LiveBatch {
    pub(super) fn new(entries: Vec<Live>) -> Self {
        let all = joined(entries.iter().map(|entry| &entry.frame));
        let first = entries.iter().find_map(|entry| entry.seq).unwrap_or(Seq::MAX);
        let mut special: Vec<u64> = entries.iter().filter_map(|entry| entry.special).collect();
        special.sort_unstable();
        special.dedup();
        Self { entries, all, first, special }
    }

    pub(super) fn send(&self, seat: &Seat) {
        let plain =
            seat.cursor < self.first && self.special.binary_search(&seat.user_hash).is_err();
        if plain {
            seat.outbound.send_live(&self.all, self.entries.len());
            return;
        }
        let frames: Vec<&Bytes> = self.entries.iter().filter_map(|it| it.for_seat(seat)).collect();
        if !frames.is_empty() {
            seat.outbound.send_live(&joined(frames.iter().copied()), frames.len());
        }
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

/// A value of the latest lane, encoded once for all members.
pub(super) struct Latest {
    value: LatestValue,
    frame: Bytes,
    /// The place of a `set`; none for what is in no log.
    seq: Option<Seq>,
    except: Except,
    /// How many members the room had taken in when it was said.
    generation: u64,
}

impl Latest {
    fn new(event: &Event<'_>, seq: Option<Seq>, except: Except, generation: u64) -> Self {
        let frame = encode(Protocol::Json, event);
        Self { value: LatestValue::Frame(frame.clone()), frame, seq, except, generation }
    }

    /// A write to the shared state, and under which key it waits.
    pub(super) fn set(publication: &Publication, generation: u64) -> Option<(LatestKey, Self)> {
        let Body::Set { key, .. } = &publication.body else { return None };
        let author = &publication.author;
        let except = if author.echo { Except::Nobody } else { Except::Writer(author.clone()) };
        let event = Event::Published { publication, own: false };
        let key = LatestKey::State(publication.room.clone(), key.clone());
        Some((key, Self::new(&event, Some(publication.seq), except, generation)))
    }

    /// A signal or a sign of typing, and under which key it waits.
    pub(super) fn transient(
        room: &RoomName,
        transient: &Transient,
        generation: u64,
    ) -> Option<(LatestKey, Self)> {
        let (key, event, user) = match transient {
            Transient::Signal { user, event, data } => (
                LatestKey::Signal(room.clone(), user.clone(), Arc::clone(event)),
                Event::Signal { room, user, event, data },
                user,
            ),
            Transient::Typing { user, active } => (
                LatestKey::Typing(room.clone(), user.clone()),
                Event::Typing { room, user, active: *active },
                user,
            ),
            Transient::DirectCopy { .. } => return None,
        };
        Some((key, Self::new(&event, None, Except::User(user.clone()), generation)))
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

/// Latest values that leave together.
pub(super) struct LatestBatch {
    entries: Vec<(LatestKey, Latest)>,
    all: Bytes,
    first: Seq,
    generation: u64,
    special: Vec<u64>,
}

impl LatestBatch {
    pub(super) fn new(entries: Vec<(LatestKey, Latest)>) -> Self {
        let all = joined(entries.iter().map(|(_, entry)| &entry.frame));
        let first = entries.iter().filter_map(|(_, entry)| entry.seq).min().unwrap_or(Seq::MAX);
        let writer = |(_, entry): &(LatestKey, Latest)| match &entry.except {
            Except::User(user) => Some(user_hash(user)),
            Except::Writer(author) => author.user.as_ref().map(user_hash),
            Except::Nobody => None,
        };
        let mut special: Vec<u64> = entries.iter().filter_map(writer).collect();
        special.sort_unstable();
        special.dedup();
        let generation = entries.iter().map(|(_, entry)| entry.generation).min().unwrap_or(0);
        Self { entries, all, first, generation, special }
    }

    pub(super) fn send(&self, seat: &Seat) {
        let plain = seat.cursor < self.first
            && seat.generation <= self.generation
            && self.special.binary_search(&seat.user_hash).is_err();
        if plain {
            let values = self.entries.iter().map(|(key, entry)| (key, &entry.value));
            seat.outbound.send_latest(&self.all, values);
            return;
        }
        let entries: Vec<_> = self.entries.iter().filter(|(_, it)| it.is_for(seat)).collect();
        if !entries.is_empty() {
            let frames = joined(entries.iter().map(|(_, entry)| &entry.frame));
            seat.outbound.send_latest(&frames, entries.iter().map(|(key, it)| (key, &it.value)));
        }
    }
}
