use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use indexmap::IndexMap;

use super::{BEGIN, END};
use crate::model::{Epoch, Position, RoomName, Seq};

/// What the line of an `id` begins with.
const ID: &[u8] = b"id: ";

/// The places of one connection's rooms, as its events went by.
///
/// A browser sends back the last `id` alone, so each carries the places of all
/// rooms: first `ROOM@EPOCH:SEQ` of its own room, then, after a comma, those of
/// the others.
#[derive(Debug, Default)]
pub struct Places {
    rooms: IndexMap<String, Position, ahash::RandomState>,
    /// Whether events go without an `id`: a client that keeps its places itself
    /// need not be sent those of all rooms with each.
    silent: bool,
}

impl Places {
    /// The places that the client named when it came: what it missed after them
    /// is still to be told, room after room, and until then they stay. With
    /// `silent`, events go without an `id`.
    pub fn new<'a>(
        known: impl IntoIterator<Item = (&'a RoomName, Position)>,
        silent: bool,
    ) -> Self {
        let rooms = known.into_iter().map(|(room, place)| (room.as_str().to_owned(), place));
        Self { rooms: rooms.collect(), silent }
    }

    /// Appends events, as [`event_of`](super::event_of) makes them, with the
    /// `id` that this connection's client is to read.
    pub fn write(&mut self, events: &[u8], to: &mut BytesMut) {
        if self.silent {
            for line in lines(events).filter(|line| !line.starts_with(ID)) {
                to.put_slice(line);
            }
            return;
        }
        // An event has one line of data, and that is nearly all of it.
        for line in lines(events) {
            match line.strip_prefix(ID).and_then(|id| str::from_utf8(id).ok()) {
                Some(id) => self.put_id(id.trim_end(), to),
                None => to.put_slice(line),
            }
        }
    }

    fn put_id(&mut self, id: &str, to: &mut BytesMut) {
        let own = self.take_note(id);
        let mut line = String::from("id: ");
        let others = self.rooms.iter().filter(|(room, _)| Some(room.as_str()) != own);
        let own = own.and_then(|room| self.rooms.get_key_value(room));
        let mut separator = "";
        for (room, Position { epoch, seq }) in own.into_iter().chain(others) {
            // Text takes whatever is written to it.
            let _ = write!(line, "{separator}{room}@{epoch}:{seq}");
            separator = ",";
        }
        line.push('\n');
        to.put_slice(line.as_bytes());
    }

    /// Notes what the line says; answers the room it has to begin with.
    fn take_note<'a>(&mut self, id: &'a str) -> Option<&'a str> {
        let marked = |mark: u8| id.strip_prefix(char::from(mark));
        if let Some(room) = marked(END) {
            self.rooms.shift_remove(room);
            return None;
        }
        let begins = marked(BEGIN);
        let (room, position) = read(begins.unwrap_or(id))?;
        match self.rooms.get_mut(room) {
            // Values of the latest lane may come late.
            Some(known) if begins.is_none() && known.epoch == position.epoch => {
                known.seq = known.seq.max(position.seq);
            }
            Some(known) => *known = position,
            None => {
                self.rooms.insert(room.to_owned(), position);
            }
        }
        Some(room)
    }
}

fn read(place: &str) -> Option<(&str, Position)> {
    let (room, place) = place.rsplit_once('@')?;
    let (epoch, seq) = place.split_once(':')?;
    let seq: Seq = seq.parse().ok()?;
    Some((room, Position { epoch: Epoch::parse(epoch)?, seq }))
}

/// The lines, each with its end.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::{Place, event_of};

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn at(epoch: &str, seq: Seq) -> Position {
        Position { epoch: Epoch::parse(epoch).unwrap(), seq }
    }

    fn ids(places: &mut Places, events: &[Place<'_>]) -> Vec<String> {
        let mut bytes = BytesMut::new();
        for place in events {
            let event = event_of(Some(*place), None, 0, |buf| buf.put_slice(b"{}"));
            places.write(&event, &mut bytes);
        }
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.matches("\ndata: {}\n\n").count(), events.len(), "{text}");
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
    }

    const A: &str = "00000000000000aa";
    const B: &str = "00000000000000bb";

    #[test]
    fn an_id_has_its_own_room_first_and_then_the_others() {
        let (a, b) = (room("a"), room("dash:b"));
        let mut places = Places::default();
        let ids = ids(
            &mut places,
            &[
                Place::Begin(&a, at(A, 3)),
                Place::Begin(&b, at(B, 1)),
                Place::Reach(&a, at(A, 4)),
                Place::Reach(&a, at(A, 2)),
                Place::Reach(&b, at(B, 9)),
                Place::End(&b),
                Place::End(&a),
            ],
        );
        assert_eq!(
            ids,
            [
                format!("a@{A}:3"),
                format!("dash:b@{B}:1,a@{A}:3"),
                format!("a@{A}:4,dash:b@{B}:1"),
                format!("a@{A}:4,dash:b@{B}:1"),
                format!("dash:b@{B}:9,a@{A}:4"),
                format!("a@{A}:4"),
                String::new(),
            ]
        );
    }

    #[test]
    fn what_begins_anew_may_be_at_an_earlier_place() {
        let a = room("a");
        let mut places = Places::default();
        let told = [
            Place::Begin(&a, at(A, 9)),
            Place::Begin(&a, at(A, 5)),
            Place::Begin(&a, at(B, 2)),
            Place::Reach(&a, at(B, 3)),
        ];
        assert_eq!(
            ids(&mut places, &told)[1..],
            [format!("a@{A}:5"), format!("a@{B}:2"), format!("a@{B}:3")]
        );
    }

    #[test]
    fn a_place_that_was_named_stays_until_its_room_is_told() {
        let (a, b) = (room("a"), room("b"));
        let mut places = Places::new([(&a, at(A, 3)), (&b, at(B, 7))], false);
        assert_eq!(
            ids(&mut places, &[Place::Begin(&b, at(B, 8)), Place::Reach(&b, at(B, 9))]),
            [format!("b@{B}:8,a@{A}:3"), format!("b@{B}:9,a@{A}:3")]
        );
    }

    #[test]
    fn what_has_no_place_passes_as_it_is() {
        let mut places = Places::default();
        for events in [&b":\n\n"[..], b"retry: 5\n\n", b"data: {\"id: \":1}\n\n:\n\n"] {
            let mut bytes = BytesMut::new();
            places.write(events, &mut bytes);
            assert_eq!(bytes, events);
        }
    }

    #[test]
    fn a_client_that_keeps_its_places_itself_is_sent_none() {
        let mut bytes = BytesMut::new();
        let event = event_of(Some(Place::Reach(&room("a"), at(A, 4))), None, 0, |_| {});
        Places::new([], true).write(&event, &mut bytes);
        assert_eq!(bytes, &b"data: \n\n"[..]);
    }
}
