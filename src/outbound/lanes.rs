use std::{collections::VecDeque, rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;

use super::state_pages::StatePages;
use crate::{
    config,
    model::{PresenceChanges, RoomName, UserId},
    wire::{Event, Protocol, encode},
};

/// At most so many notices wait in the control lane of one client.
pub const CONTROL_FRAMES: usize = 64;

/// Frames that wait together are written together, up to about so many bytes.
const CHUNK: usize = 16 * 1024;

/// What a value of the latest lane is about; a newer value replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LatestKey {
    /// A key of a room's shared state.
    State(RoomName, Arc<str>),
    /// A user's momentary event in a room.
    Signal(RoomName, UserId, Arc<str>),
    /// Whether a user is typing in a room.
    Typing(RoomName, UserId),
    /// Who is in a room.
    Presence(RoomName),
    /// The online state of a watched user.
    Online(UserId),
}

impl LatestKey {
    /// The room it is about, if it is about one.
    pub fn room(&self) -> Option<&RoomName> {
        match self {
            Self::State(room, _)
            | Self::Signal(room, ..)
            | Self::Typing(room, _)
            | Self::Presence(room) => Some(room),
            Self::Online(_) => None,
        }
    }
}

/// A value of the latest lane.
#[derive(Debug, Clone)]
pub enum LatestValue {
    /// A whole frame that replaces an older one.
    Frame(Bytes),
    /// Changes that merge into older ones; encoded when they are written.
    Presence(Rc<PresenceChanges>),
}

impl LatestValue {
    fn weight(&self) -> usize {
        /// About what a member takes on the wire.
        const MEMBER: usize = 160;
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Presence(changes) => MEMBER * (1 + changes.users()),
        }
    }

    fn replace_with(&mut self, newer: &Self) {
        match (self, newer) {
            (Self::Presence(old), Self::Presence(newer)) => Rc::make_mut(old).merge(newer),
            (old, newer) => *old = newer.clone(),
        }
    }

    fn into_frame(self, key: &LatestKey, protocol: Protocol) -> Bytes {
        match (self, key) {
            (Self::Frame(frame), _) => frame,
            (Self::Presence(changes), LatestKey::Presence(room)) => {
                encode(protocol, &Event::Presence { room, diff: &changes.to_diff() })
            }
            (Self::Presence(_), _) => Bytes::new(),
        }
    }
}

/// How much may wait for one client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Live messages of the reliable lane.
    pub reliable_messages: usize,
    /// Bytes of the live messages; also how many bytes of replies may wait
    /// before the client's next request does.
    pub reliable_bytes: usize,
    /// Bytes of the latest lane.
    pub latest_bytes: usize,
}

impl From<&config::Outbound> for Bounds {
    fn from(settings: &config::Outbound) -> Self {
        Self {
            reliable_messages: settings.reliable_messages,
            reliable_bytes: settings.reliable_bytes,
            latest_bytes: settings.latest_bytes,
        }
    }
}

/// A lane is over its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

#[derive(Debug)]
enum Reliable {
    /// So many live messages.
    Live(Bytes, usize),
    /// What the client asked for, which does not count against the bound.
    Reply(Bytes),
    /// The same, encoded when it is written.
    State(StatePages),
}

type Latest = IndexMap<LatestKey, LatestValue, ahash::RandomState>;

#[derive(Debug)]
enum Control {
    /// The server's own word, such as a Ping.
    Notice(Bytes),
    /// What the client asked for, such as the error its request met with.
    Answer(Bytes),
}

/// The three lanes. They know neither transport nor clock.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    control: VecDeque<Control>,
    notices: usize,
    reliable: VecDeque<Reliable>,
    live_messages: usize,
    live_bytes: usize,
    reply_bytes: usize,
    /// Boxed because nearly every client reads quickly enough never to need it.
    latest: Option<Box<Latest>>,
    latest_bytes: usize,
    /// The close frame.
    last: Option<Bytes>,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.reliable.is_empty()
            && self.latest.is_none()
            && self.last.is_none()
    }

    pub(super) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    pub(super) fn push_notice(&mut self, frame: Bytes) {
        if self.notices < CONTROL_FRAMES {
            self.notices += 1;
            self.control.push_back(Control::Notice(frame));
        }
    }

    pub(super) fn push_answer(&mut self, frame: Bytes) {
        self.reply_bytes += frame.len();
        self.control.push_back(Control::Answer(frame));
    }

    pub(super) fn push_reply(&mut self, frame: Bytes) {
        self.reply_bytes += frame.len();
        self.reliable.push_back(Reliable::Reply(frame));
    }

    pub(super) fn push_state(&mut self, pages: StatePages) {
        self.reply_bytes += pages.weight();
        self.reliable.push_back(Reliable::State(pages));
    }

    /// Queues the last frame of the connection, behind all lanes.
    pub(super) fn push_last(&mut self, frame: Bytes) {
        self.last = Some(frame);
    }

    pub(super) fn push_live(
        &mut self,
        frames: Bytes,
        messages: usize,
        bounds: &Bounds,
    ) -> Result<(), Overflow> {
        self.live_messages += messages;
        self.live_bytes += frames.len();
        let alone = self.live_messages == messages;
        self.reliable.push_back(Reliable::Live(frames, messages));
        // One batch is let in whatever its size: nobody could ever read it else.
        let over = self.live_messages > bounds.reliable_messages
            || self.live_bytes > bounds.reliable_bytes;
        if over && !alone { Err(Overflow) } else { Ok(()) }
    }

    pub(super) fn push_latest(
        &mut self,
        key: &LatestKey,
        value: &LatestValue,
        bounds: &Bounds,
    ) -> Result<(), Overflow> {
        let latest = self.latest.get_or_insert_default();
        match latest.get_mut(key) {
            Some(old) => {
                self.latest_bytes -= old.weight();
                old.replace_with(value);
                self.latest_bytes += old.weight();
            }
            None => {
                self.latest_bytes += value.weight();
                latest.insert(key.clone(), value.clone());
            }
        }
        if self.latest_bytes > bounds.latest_bytes && latest.len() > 1 {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Lets go of the waiting latest values of a room: its members list and
    /// state are about to be told anew, or are of no interest any more.
    pub(super) fn forget_room(&mut self, room: &RoomName) {
        if let Some(latest) = &mut self.latest {
            latest.retain(|key, _| key.room() != Some(room));
            self.latest_bytes = latest.values().map(LatestValue::weight).sum();
            if latest.is_empty() {
                self.latest = None;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is to be written next: frames in the order of the lanes, several
    /// small ones joined so that they share a write.
    pub(super) fn next_chunk(&mut self, protocol: Protocol) -> Option<Bytes> {
        let first = self.next(protocol)?;
        if self.is_empty() || first.len() >= CHUNK {
            return Some(first);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK);
        chunk.extend_from_slice(&first);
        while chunk.len() < CHUNK
            && let Some(frames) = self.next(protocol)
        {
            chunk.extend_from_slice(&frames);
        }
        Some(chunk.freeze())
    }

    fn next(&mut self, protocol: Protocol) -> Option<Bytes> {
        match self.control.pop_front() {
            Some(Control::Notice(frame)) => {
                self.notices -= 1;
                return Some(frame);
            }
            Some(Control::Answer(frame)) => {
                self.reply_bytes -= frame.len();
                return Some(frame);
            }
            None => {}
        }
        self.next_reliable(protocol)
            .or_else(|| self.next_latest(protocol))
            .or_else(|| self.last.take())
    }

    fn next_reliable(&mut self, protocol: Protocol) -> Option<Bytes> {
        match self.reliable.pop_front()? {
            Reliable::Live(frames, messages) => {
                self.live_messages -= messages;
                self.live_bytes -= frames.len();
                Some(frames)
            }
            Reliable::Reply(frame) => {
                self.reply_bytes -= frame.len();
                Some(frame)
            }
            Reliable::State(mut pages) => {
                let before = pages.weight();
                let page = pages.next_frame(protocol);
                self.reply_bytes -= before - pages.weight();
                if !pages.is_done() {
                    self.reliable.push_front(Reliable::State(pages));
                }
                Some(page)
            }
        }
    }

    /// About a chunk of the oldest latest values. Taking them one by one would
    /// move the rest of the map each time.
    fn next_latest(&mut self, protocol: Protocol) -> Option<Bytes> {
        let latest = self.latest.as_mut()?;
        let mut taken = 0;
        let mut weight = 0;
        for value in latest.values() {
            weight += value.weight();
            taken += 1;
            if weight >= CHUNK {
                break;
            }
        }
        let mut chunk = BytesMut::with_capacity(weight);
        for (key, value) in latest.drain(..taken) {
            self.latest_bytes -= value.weight();
            chunk.extend_from_slice(&value.into_frame(&key, protocol));
        }
        if latest.is_empty() {
            self.latest = None;
        }
        Some(chunk.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Change;

    const BOUNDS: Bounds = Bounds { reliable_messages: 3, reliable_bytes: 100, latest_bytes: 50 };

    fn room() -> RoomName {
        RoomName::parse("r").unwrap()
    }

    fn key(name: &str) -> LatestKey {
        LatestKey::State(room(), name.into())
    }

    fn frame(text: &str) -> LatestValue {
        LatestValue::Frame(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn drained(lanes: &mut Lanes) -> String {
        let mut all = Vec::new();
        while let Some(chunk) = lanes.next_chunk(Protocol::Json) {
            all.extend_from_slice(&chunk);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn control_goes_before_reliable_before_latest() {
        let mut lanes = Lanes::default();
        lanes.push_latest(&key("k"), &frame("L"), &BOUNDS).unwrap();
        lanes.push_live(Bytes::from_static(b"R"), 1, &BOUNDS).unwrap();
        lanes.push_reply(Bytes::from_static(b"r"));
        lanes.push_notice(Bytes::from_static(b"C"));
        lanes.push_answer(Bytes::from_static(b"c"));
        assert_eq!(drained(&mut lanes), "CcRrL");
        assert!(lanes.is_empty());
        assert_eq!((lanes.live_messages, lanes.live_bytes, lanes.reply_bytes), (0, 0, 0));
    }

    #[test]
    fn the_reliable_lane_overflows_in_messages_and_in_bytes() {
        let mut lanes = Lanes::default();
        lanes.push_live(Bytes::from_static(b"abc"), 3, &BOUNDS).unwrap();
        assert_eq!(lanes.push_live(Bytes::from_static(b"d"), 1, &BOUNDS), Err(Overflow));
        lanes.clear();
        lanes.push_live(vec![0; 90].into(), 1, &BOUNDS).unwrap();
        assert_eq!(lanes.push_live(vec![0; 11].into(), 1, &BOUNDS), Err(Overflow));
    }

    #[test]
    fn one_batch_over_the_bound_and_replies_are_let_in() {
        let mut lanes = Lanes::default();
        lanes.push_reply(vec![0; 1000].into());
        lanes.push_live(vec![0; 1000].into(), 9, &BOUNDS).unwrap();
        assert_eq!(lanes.reply_bytes(), 1000);
    }

    #[test]
    fn the_latest_lane_keeps_one_value_a_key_and_is_bounded() {
        let mut lanes = Lanes::default();
        for n in 0..1000 {
            lanes.push_latest(&key("a"), &frame(&format!("a{n} ")), &BOUNDS).unwrap();
            lanes.push_latest(&key("b"), &frame(&format!("b{n} ")), &BOUNDS).unwrap();
        }
        assert_eq!(drained(&mut lanes), "a999 b999 ");
        assert_eq!(lanes.latest_bytes, 0);
        lanes.push_latest(&key("a"), &frame(&"x".repeat(49)), &BOUNDS).unwrap();
        assert_eq!(lanes.push_latest(&key("b"), &frame("yy"), &BOUNDS), Err(Overflow));
    }

    #[test]
    fn waiting_presence_merges() {
        let mut lanes = Lanes::default();
        let bounds = Bounds { latest_bytes: 10_000, ..BOUNDS };
        let presence = LatestKey::Presence(room());
        for (user, count) in [("ada", 1), ("bob", 2)] {
            let user = UserId::parse(user).unwrap();
            let changes = PresenceChanges::of(user, Change::Left, count);
            let value = LatestValue::Presence(Rc::new(changes));
            lanes.push_latest(&presence, &value, &bounds).unwrap();
        }
        let text = drained(&mut lanes);
        assert_eq!(text.matches("\"presence\"").count(), 1, "{text}");
        assert!(text.contains("ada") && text.contains("bob") && text.contains("\"count\":2"));
    }

    #[test]
    fn a_forgotten_room_has_no_latest_values() {
        let mut lanes = Lanes::default();
        lanes.push_latest(&key("a"), &frame("gone"), &BOUNDS).unwrap();
        let user = UserId::parse("u").unwrap();
        lanes.push_latest(&LatestKey::Online(user), &frame("kept"), &BOUNDS).unwrap();
        lanes.forget_room(&room());
        assert_eq!(lanes.latest_bytes, 4);
        assert_eq!(drained(&mut lanes), "kept");
    }

    #[test]
    fn notices_past_the_bound_are_left_out_but_no_answer_is() {
        let mut lanes = Lanes::default();
        for _ in 0..10 * CONTROL_FRAMES {
            lanes.push_notice(Bytes::from_static(b"n"));
            lanes.push_answer(Bytes::from_static(b"a"));
        }
        assert_eq!(lanes.reply_bytes(), 10 * CONTROL_FRAMES);
        let text = drained(&mut lanes);
        assert_eq!(text.matches('n').count(), CONTROL_FRAMES);
        assert_eq!(text.matches('a').count(), 10 * CONTROL_FRAMES);
        assert_eq!((lanes.reply_bytes(), lanes.notices), (0, 0));
    }
}
