use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    broker::{Page, PageRequest, Start},
    model::{Body, Epoch, Payload, Position, Publication, Seq, Timestamp},
};

/// How long and how large a log may grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// One life of a room's log. The entries kept are always the newest, without a hole.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Epoch,
    last: Seq,
    entries: VecDeque<Arc<Publication>>,
    /// Bytes of the texts that the entries hold.
    bytes: usize,
    /// The newest timestamp given, so that none goes back when the clock does.
    clock: Timestamp,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { epoch: Epoch::random(), last: 0, entries: VecDeque::new(), bytes: 0, clock: 0 }
    }

    /// A log that was kept elsewhere, without its entries.
    pub(super) fn resumed(end: Position, clock: Timestamp) -> Self {
        Self { epoch: end.epoch, last: end.seq, clock, ..Self::new() }
    }

    /// Puts back an entry of a resumed log: the newest last, up to its end.
    pub(super) fn put_back(&mut self, entry: Arc<Publication>) {
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.last }
    }

    /// The newest timestamp given.
    pub(super) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The place and the time of the next entry.
    pub(super) fn next(&mut self, now: Timestamp) -> (Position, Timestamp) {
        self.clock = self.clock.max(now);
        (Position { epoch: self.epoch, seq: self.last + 1 }, self.clock)
    }

    /// Appends the entry that was given the place of [`next`](Self::next).
    pub(super) fn append(&mut self, entry: Arc<Publication>, bounds: Bounds) {
        debug_assert_eq!(entry.seq, self.last + 1);
        self.last = entry.seq;
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        self.trim(self.clock, bounds);
    }

    /// Lets go of what is over the bounds, oldest first.
    pub(super) fn trim(&mut self, now: Timestamp, bounds: Bounds) {
        let age = u64::try_from(bounds.age.as_millis()).unwrap_or(u64::MAX);
        while let Some(oldest) = self.entries.front() {
            let over = self.entries.len() > bounds.entries
                || self.bytes > bounds.bytes
                || oldest.timestamp.saturating_add(age) <= now;
            if !over {
                break;
            }
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    /// Lets go of all entries up to `seq`.
    pub(super) fn drop_through(&mut self, seq: Seq) {
        while self.entries.front().is_some_and(|oldest| oldest.seq <= seq) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            self.bytes -= weight(&gone);
        }
    }

    /// About how many bytes of memory the log takes.
    pub(super) fn weight(&self) -> usize {
        self.bytes + self.entries.len() * ENTRY
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last place before the oldest entry kept: a reader that knows this
    /// place or a later one can go on without a hole.
    pub(super) fn floor(&self) -> Seq {
        self.last - self.entries.len() as Seq
    }

    /// The entries after `seq`, as far as they are kept.
    pub(super) fn after(&self, seq: Seq) -> impl Iterator<Item = &Arc<Publication>> {
        let skipped = usize::try_from(seq.saturating_sub(self.floor())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped)
    }

    /// The entries from `start` to the end, and whether they continue what the
    /// reader knew.
    pub(super) fn read(&self, start: Start) -> (bool, Vec<Arc<Publication>>) {
        match start {
            Start::End => (false, Vec::new()),
            Start::Newest(count) => (false, self.newest(count)),
            Start::After { known, otherwise } => match known {
                Some(Position { epoch, seq })
                    if epoch == self.epoch && seq <= self.last && seq >= self.floor() =>
                {
                    (true, self.after(seq).cloned().collect())
                }
                _ => (false, self.newest(otherwise)),
            },
        }
    }

    fn newest(&self, count: usize) -> Vec<Arc<Publication>> {
        self.after(self.last.saturating_sub(count as Seq)).cloned().collect()
    }

    pub(super) fn page(&self, request: PageRequest) -> Page {
        let end = request.before.unwrap_or(Seq::MAX).clamp(1, self.last + 1);
        let begin = request.after.unwrap_or(0).clamp(self.floor(), self.last);
        let inside = usize::try_from(end.saturating_sub(begin + 1)).unwrap_or(usize::MAX);
        let more = inside > request.limit;
        let taken = inside.min(request.limit);
        // With `after`, the page goes forward from there; else backward from the end.
        let first = if request.after.is_some() { begin } else { end - 1 - taken as Seq };
        let messages = self.after(first).take(taken).cloned().collect();
        Page { epoch: self.epoch, messages, more }
    }
}

/// About what an entry takes besides its text.
const ENTRY: usize = 256;

/// The bytes of text an entry holds.
fn weight(entry: &Publication) -> usize {
    fn payload(payload: &Payload) -> usize {
        match payload {
            Payload::Text(text) => text.len(),
            Payload::Event { event, data } => event.len() + data.get().len(),
        }
    }
    match &entry.body {
        Body::Message(message) => payload(message),
        Body::Direct { payload: message, .. } => payload(message),
        Body::Set { key, value } => key.len() + value.as_ref().map_or(0, |value| value.get().len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Author, RoomName};

    const WIDE: Bounds =
        Bounds { entries: 1000, bytes: usize::MAX, age: Duration::from_secs(3600) };

    fn append(log: &mut Log, now: Timestamp, text: &str, bounds: Bounds) {
        let (position, timestamp) = log.next(now);
        log.append(
            Arc::new(Publication {
                room: RoomName::parse("r").unwrap(),
                epoch: position.epoch,
                seq: position.seq,
                timestamp,
                author: Author { user: None, session: None, echo: true },
                body: Body::Message(Payload::Text(text.into())),
                nonce: None,
            }),
            bounds,
        );
    }

    fn filled(count: usize, bounds: Bounds) -> Log {
        let mut log = Log::new();
        for _ in 0..count {
            append(&mut log, 0, "x", bounds);
        }
        log
    }

    fn seqs(messages: &[Arc<Publication>]) -> Vec<Seq> {
        messages.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn a_reader_that_knows_a_kept_place_recovers() {
        let log = filled(10, Bounds { entries: 4, ..WIDE });
        let read = |seq| {
            let known = Some(Position { seq, ..log.position() });
            let (recovered, messages) = log.read(Start::After { known, otherwise: 2 });
            (recovered, seqs(&messages))
        };
        assert_eq!(read(10), (true, vec![]));
        assert_eq!(read(8), (true, vec![9, 10]));
        assert_eq!(read(6), (true, vec![7, 8, 9, 10]));
        assert_eq!(read(5), (false, vec![9, 10]), "entry 6 is gone");
        assert_eq!(read(11), (false, vec![9, 10]), "ahead of the log");
    }

    #[test]
    fn another_epoch_is_not_continued() {
        let log = filled(3, WIDE);
        let known = Some(Position { epoch: Epoch::random(), seq: 2 });
        let (recovered, messages) = log.read(Start::After { known, otherwise: 50 });
        assert_eq!((recovered, seqs(&messages)), (false, vec![1, 2, 3]));
    }

    #[test]
    fn bounds_let_the_oldest_go() {
        let mut log = Log::new();
        let bounds = Bounds { entries: 10, bytes: 6, age: Duration::from_millis(100) };
        append(&mut log, 1000, "aaa", bounds);
        append(&mut log, 1050, "bbb", bounds);
        assert_eq!(log.entries.len(), 2);
        append(&mut log, 1060, "c", bounds);
        assert_eq!(log.entries.len(), 2, "over the bytes");
        log.trim(1155, bounds);
        assert_eq!(log.entries.len(), 1, "over the age");
        log.trim(2000, bounds);
        assert!(log.is_empty() && log.bytes == 0);
        assert_eq!(log.position().seq, 3, "the place stays");
    }

    #[test]
    fn time_does_not_go_back() {
        let mut log = Log::new();
        append(&mut log, 1000, "a", WIDE);
        append(&mut log, 900, "b", WIDE);
        assert_eq!(log.entries.back().unwrap().timestamp, 1000);
    }

    #[test]
    fn pages_go_both_ways() {
        let log = filled(10, Bounds { entries: 8, ..WIDE });
        let page = |before, after, limit| {
            let page = log.page(PageRequest { before, after, limit });
            (seqs(&page.messages), page.more)
        };
        assert_eq!(page(None, None, 3), (vec![8, 9, 10], true));
        assert_eq!(page(Some(8), None, 3), (vec![5, 6, 7], true));
        assert_eq!(page(Some(5), None, 3), (vec![3, 4], false));
        assert_eq!(page(None, Some(0), 3), (vec![3, 4, 5], true));
        assert_eq!(page(None, Some(7), 3), (vec![8, 9, 10], false));
        assert_eq!(page(Some(7), Some(4), 50), (vec![5, 6], false));
        assert_eq!(page(None, Some(10), 3), (vec![], false));
        assert_eq!(page(Some(1), None, 3), (vec![], false));
        assert_eq!(page(Some(0), None, 3), (vec![], false));
        assert_eq!(page(None, Some(Seq::MAX), 3), (vec![], false));
    }

    proptest! {
        /// What is kept is a run without holes that ends at the last place, and
        /// walking backwards by pages gives exactly that run.
        #[test]
        fn pages_walk_the_whole_log(count in 0usize..60, kept in 0usize..30, limit in 1usize..10) {
            let log = filled(count, Bounds { entries: kept, ..WIDE });
            let mut walked = Vec::new();
            let mut before = None;
            loop {
                let page = log.page(PageRequest { before, after: None, limit });
                let mut part = seqs(&page.messages);
                before = part.first().copied();
                part.extend(walked);
                walked = part;
                if !page.more { break; }
            }
            let expected: Vec<Seq> = (count.saturating_sub(kept) as Seq + 1..=count as Seq).collect();
            prop_assert_eq!(walked, expected);
        }
    }
}
