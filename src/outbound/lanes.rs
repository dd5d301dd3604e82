#[cfg(test)]
mod tests;

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;

use super::state_pages::StatePages;
use crate::{
    config,
    metrics::LANES,
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
    /// What was let go of since this was last taken, by lane.
    dropped: [u64; LANES.len()],
    /// How long the pages of state were that were encoded since this was last
    /// taken.
    pages: Vec<usize>,
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
        } else {
            self.drop([1, 0, 0]);
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
                let [.., dropped] = &mut self.dropped;
                *dropped += 1;
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
        let [control, reliable, latest] = self.waiting().map(|(messages, _)| messages);
        self.drop([control, reliable, latest]);
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    fn drop(&mut self, by_lane: [u64; LANES.len()]) {
        for (dropped, more) in self.dropped.iter_mut().zip(by_lane) {
            *dropped += more;
        }
    }

    /// What was let go of since this was last asked, by lane.
    pub(super) fn take_dropped(&mut self) -> [u64; LANES.len()] {
        std::mem::take(&mut self.dropped)
    }

    /// How long the pages of state were that were encoded since this was last
    /// asked.
    pub(super) fn take_pages(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.pages)
    }

    /// Messages and bytes that wait, by lane. Not for every message: it looks at
    /// all that waits.
    pub(super) fn waiting(&self) -> [(u64, u64); LANES.len()] {
        let control =
            self.control.iter().map(|(Control::Notice(it) | Control::Answer(it))| it.len());
        let control = (self.control.len() as u64, control.sum::<usize>() as u64);
        let reliable = self.reliable.iter().fold((0, 0), |(messages, bytes), it| match it {
            Reliable::Live(frames, more) => (messages + more, bytes + frames.len()),
            Reliable::Reply(frame) => (messages + 1, bytes + frame.len()),
            Reliable::State(pages) => (messages + 1, bytes + pages.weight()),
        });
        let latest = self.latest.as_ref().map_or(0, |latest| latest.len());
        [control, (reliable.0 as u64, reliable.1 as u64), (latest as u64, self.latest_bytes as u64)]
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
                self.pages.push(page.len());
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
