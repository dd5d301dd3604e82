use std::rc::Rc;

use bytes::Bytes;

use crate::{
    model::{RoomName, StateEntry},
    wire::{Event, Protocol, encode},
};

/// Keys and values of a room's state in one message, in bytes; one entry at least.
pub const STATE_PAGE: usize = 256 * 1024;

/// A room's shared state on its way to one client, page by page. A page is encoded
/// when it is written, so that of a large state no more than that is held for each
/// client that joins.
#[derive(Debug, Clone)]
pub struct StatePages {
    room: RoomName,
    entries: Rc<[StateEntry]>,
    next: usize,
}

impl StatePages {
    /// All of a room's state.
    pub fn new(room: RoomName, entries: Rc<[StateEntry]>) -> Self {
        Self { room, entries, next: 0 }
    }

    /// Takes the entries of the next page.
    pub fn take_page(&mut self) -> &[StateEntry] {
        let rest = self.entries.get(self.next..).unwrap_or_default();
        let mut bytes = 0;
        let fits = |entry: &&StateEntry| {
            let first = bytes == 0;
            bytes += weight(entry);
            first || bytes <= STATE_PAGE
        };
        let count = rest.iter().take_while(fits).count();
        self.next += count;
        rest.get(..count).unwrap_or_default()
    }

    /// Whether no page is left.
    pub fn is_done(&self) -> bool {
        self.next >= self.entries.len()
    }

    /// About how many bytes are left.
    pub(super) fn weight(&self) -> usize {
        self.entries.iter().skip(self.next).map(weight).sum()
    }

    /// The next page as a message.
    pub(super) fn next_frame(&mut self, protocol: Protocol) -> Bytes {
        let (from, room, entries) = (self.next, self.room.clone(), self.entries.clone());
        self.take_page();
        let state = entries.get(from..self.next).unwrap_or_default();
        encode(protocol, &Event::State { room: &room, state, more: !self.is_done() })
    }
}

fn weight(entry: &StateEntry) -> usize {
    entry.key.len() + entry.value.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize, bytes: usize) -> StateEntry {
        let value = format!("\"{}\"", "x".repeat(bytes));
        let value = serde_json::value::RawValue::from_string(value).unwrap();
        StateEntry { key: format!("key-{number}").into(), value: value.into(), version: 1 }
    }

    fn pages(sizes: &[usize]) -> Vec<usize> {
        let entries: Vec<_> = sizes.iter().enumerate().map(|(n, size)| entry(n, *size)).collect();
        let room = RoomName::parse("r").unwrap();
        let mut pages = StatePages::new(room, entries.into());
        std::iter::from_fn(|| (!pages.is_done()).then(|| pages.take_page().len())).collect()
    }

    #[test]
    fn a_page_holds_what_fits_and_one_entry_at_least() {
        assert!(pages(&[]).is_empty());
        assert_eq!(pages(&[10; 1000]), [1000]);
        assert_eq!(pages(&[STATE_PAGE / 2; 3]), [1, 1, 1]);
        assert_eq!(pages(&[STATE_PAGE / 3; 4]), [2, 2]);
        assert_eq!(pages(&[5 * STATE_PAGE, 1, 2]), [1, 2]);
    }

    #[test]
    fn the_last_page_says_that_it_is() {
        let entries: Vec<_> = (0..3).map(|n| entry(n, STATE_PAGE / 2 + 1)).collect();
        let room = RoomName::parse("r").unwrap();
        let mut pages = StatePages::new(room, entries.into());
        let mut last = pages.weight();
        let mut more = Vec::new();
        while !pages.is_done() {
            let frame = pages.next_frame(Protocol::Json);
            more.push(frame.ends_with(b"\"more\":true}"));
            assert!(pages.weight() < last);
            last = pages.weight();
        }
        assert_eq!((more, last), (vec![true, true, false], 0));
    }
}
