#[cfg(test)]
mod tests;

use std::{cell::RefCell, io, rc::Rc, sync::Arc, task::Waker, time::Instant};

use bytes::{Buf, Bytes};
use log::debug;

use super::{
    lanes::{Bounds, Lanes, LatestKey, LatestValue},
    state_pages::StatePages,
};
use crate::{
    metrics::{LANES, WorkerMetrics},
    model::{Farewell, LinkId, RoomName},
    net::Socket,
    wire::{Event, EventKind, Protocol, encode, frame},
};

/// Where bytes go. It is told to write from several places on one thread: the
/// session, and the room that fans out.
pub trait Transport {
    /// Takes as many bytes as it can at once. Those it does not take are given to
    /// it again, before any others; none may be taken, and the transport not be
    /// stalled, while it is still busy with them.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where it can take none now; any other
    /// error is the end of the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Reads the memory that writing will need, and does nothing else.
    fn warm(&self) {}
}

impl Transport for Socket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn warm(&self) {
        Self::warm(self);
    }
}

/// How the way to the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// All is written.
    Idle,
    /// The transport takes no more; somebody has to wait until it does and then
    /// [`resume`](Outbound::resume).
    Blocked,
    /// The transport is broken.
    Broken,
}

/// The way to one client: its lanes and its transport.
pub struct Outbound {
    link: LinkId,
    protocol: Protocol,
    bounds: Bounds,
    inner: RefCell<Inner>,
}

/// In the order of the fields as they are: the fan-out touches one member after
/// the other, and for each the first cache line is all it should need.
#[repr(C)]
struct Inner {
    /// Whether nothing waits and nothing hinders: what comes is written at once.
    clear: bool,
    /// Whether nothing is to be written yet.
    held: bool,
    flow: Flow,
    /// Set when the connection is to end; nothing is queued after it.
    farewell: Option<Farewell>,
    /// None once the connection is over.
    transport: Option<Rc<dyn Transport>>,
    /// How many messages were given to this, and how many bytes.
    given: (u64, u64),
    lanes: Lanes,
    /// What is being written: the rest of a chunk.
    head: Bytes,
    /// Since when the transport has taken nothing, while blocked.
    blocked_since: Option<Instant>,
    /// The task that waits for the transport, woken when it has something to see.
    driver: Option<Waker>,
    /// How many messages were let go of.
    dropped: u64,
    metrics: Arc<WorkerMetrics>,
}

impl Outbound {
    /// The way to a client that speaks `protocol` over `transport`, counted by
    /// its worker.
    pub fn new(
        link: LinkId,
        protocol: Protocol,
        bounds: Bounds,
        transport: Rc<dyn Transport>,
        metrics: Arc<WorkerMetrics>,
    ) -> Self {
        Self {
            link,
            protocol,
            bounds,
            inner: RefCell::new(Inner {
                clear: true,
                held: false,
                lanes: Lanes::default(),
                head: Bytes::new(),
                transport: Some(transport),
                flow: Flow::Idle,
                blocked_since: None,
                farewell: None,
                given: (0, 0),
                driver: None,
                dropped: 0,
                metrics,
            }),
        }
    }

    /// The connection's name within this process.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// What the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Queues a frame that is no message, such as a Ping, in the control lane. It
    /// may be left out where too many wait; [`flush`](Self::flush) writes it.
    pub fn queue_sign(&self, frame: Bytes) {
        self.queue(|lanes| lanes.push_notice(frame));
    }

    /// Queues a notice of the control lane, which may be left out where too many
    /// wait; [`flush`](Self::flush) writes it.
    pub fn queue_notice(&self, event: &Event<'_>) {
        self.queue_event(event, Lanes::push_notice);
    }

    /// Queues what the client asked for in the control lane;
    /// [`flush`](Self::flush) writes it.
    pub fn queue_answer(&self, event: &Event<'_>) {
        self.queue_event(event, Lanes::push_answer);
    }

    /// Queues what the client asked for in the reliable lane;
    /// [`flush`](Self::flush) writes it.
    pub fn queue_reply(&self, event: &Event<'_>) {
        self.queue_event(event, Lanes::push_reply);
    }

    /// Queues a frame of another protocol (an echo, a trace) in the reliable lane;
    /// [`flush`](Self::flush) writes it.
    pub fn queue_frame(&self, frame: Bytes) {
        self.queue(|lanes| lanes.push_reply(frame));
    }

    fn queue_event(&self, event: &Event<'_>, push: impl FnOnce(&mut Lanes, Bytes)) {
        let mut inner = self.inner.borrow_mut();
        if inner.farewell.is_none() {
            let frame = encode(self.protocol, event);
            inner.count(EventKind::of(event), frame.len());
            inner.clear = false;
            push(&mut inner.lanes, frame);
            inner.note_dropped();
        }
    }

    /// Queues what is left of a room's state in the reliable lane, as a reply;
    /// [`flush`](Self::flush) writes it.
    pub fn queue_state(&self, pages: StatePages) {
        if !pages.is_done() {
            self.queue(|lanes| lanes.push_state(pages));
        }
    }

    fn queue(&self, push: impl FnOnce(&mut Lanes)) {
        let mut inner = self.inner.borrow_mut();
        if inner.farewell.is_none() {
            inner.clear = false;
            push(&mut inner.lanes);
            inner.note_dropped();
        }
    }

    /// Reads the memory that sending will need, so that it is at hand a moment later.
    pub fn warm(&self) {
        if let Some(transport) = &self.inner.borrow().transport {
            transport.warm();
        }
    }

    /// Sends so many live messages, encoded and joined in `frames`, behind what
    /// waits. A client too slow for them is closed.
    pub fn send_live(&self, frames: &Bytes, messages: usize) {
        let mut inner = self.inner.borrow_mut();
        if inner.farewell.is_some() {
            return;
        }
        inner.give(messages, frames.len());
        if inner.clear {
            return inner.write_now(frames, self.protocol);
        }
        if inner.lanes.push_live(frames.clone(), messages, &self.bounds).is_err() {
            inner.give_up(self.protocol);
        }
        inner.write(self.protocol);
    }

    /// Sends values of the latest lane: `frames` has all of them encoded and
    /// joined, which serves while nothing waits; else each replaces what waits
    /// under its key.
    pub fn send_latest<'a, V>(&self, frames: &Bytes, values: V)
    where
        V: IntoIterator<Item = (&'a LatestKey, &'a LatestValue), IntoIter: ExactSizeIterator>,
    {
        let mut inner = self.inner.borrow_mut();
        if inner.farewell.is_some() {
            return;
        }
        let values = values.into_iter();
        inner.give(values.len(), frames.len());
        if inner.clear {
            return inner.write_now(frames, self.protocol);
        }
        for (key, value) in values {
            if inner.lanes.push_latest(key, value, &self.bounds).is_err() {
                inner.give_up(self.protocol);
                break;
            }
        }
        inner.note_dropped();
        inner.write(self.protocol);
    }

    /// Lets go of the waiting latest values of a room.
    pub fn forget_room(&self, room: &RoomName) {
        self.inner.borrow_mut().lanes.forget_room(room);
    }

    /// Ends the connection: with `keep`, what waits is written first. Of
    /// several farewells the first holds.
    pub fn close(&self, farewell: Farewell, keep: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.close(farewell, self.protocol.farewell(farewell), keep);
        inner.write(self.protocol);
    }

    /// Ends the connection as its client asked, saying its code back.
    pub fn answer_close(&self, code: Option<u16>) {
        let mut inner = self.inner.borrow_mut();
        inner.close(Farewell::Normal, frame::close_answer(code), false);
    }

    /// Why the connection is to end, if it is.
    pub fn farewell(&self) -> Option<Farewell> {
        self.inner.borrow().farewell
    }

    /// From here on nothing is written until [`release`](Self::release), or until
    /// the connection is to end: what is said in a moment goes in one write.
    pub fn hold(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.held = inner.farewell.is_none();
        inner.clear = false;
    }

    /// Writes what was held, as far as the transport takes it.
    pub fn release(&self) -> Flow {
        let mut inner = self.inner.borrow_mut();
        inner.held = false;
        inner.write(self.protocol)
    }

    /// Writes what waits, as far as the transport takes it.
    pub fn flush(&self) -> Flow {
        self.inner.borrow_mut().write(self.protocol)
    }

    /// The transport takes bytes again: writes what waits.
    pub fn resume(&self) -> Flow {
        let mut inner = self.inner.borrow_mut();
        if inner.flow == Flow::Blocked {
            inner.flow = Flow::Idle;
        }
        inner.write(self.protocol)
    }

    /// How the way is now.
    pub fn flow(&self) -> Flow {
        self.inner.borrow().flow
    }

    /// Whether so much waits of what the client asked for that it has to read
    /// before it is answered more.
    pub fn congested(&self) -> bool {
        let inner = self.inner.borrow();
        inner.flow == Flow::Blocked
            && inner.lanes.reply_bytes() + inner.head.len() > self.bounds.reliable_bytes
    }

    /// Since when the transport has taken nothing of what waits.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.inner.borrow().blocked_since
    }

    /// Messages and bytes that wait, by lane; none where all is written.
    pub fn waiting(&self) -> Option<[(u64, u64); LANES.len()]> {
        let inner = self.inner.borrow();
        (!inner.clear).then(|| inner.lanes.waiting())
    }

    /// How many messages were given to this so far, and how many bytes.
    pub fn given(&self) -> (u64, u64) {
        self.inner.borrow().given
    }

    /// How many of them, or of notices, the client was not given.
    pub fn dropped(&self) -> u64 {
        self.inner.borrow().dropped
    }

    /// The connection is over: lets go of the transport and of all that waits,
    /// whoever still holds this.
    pub fn abandon(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.fail();
        inner.driver = None;
    }

    /// Wakes the task that waits for the transport.
    pub fn wake(&self) {
        self.inner.borrow_mut().wake_driver();
    }

    /// Names the task that waits for the transport.
    pub fn set_driver(&self, waker: &Waker) {
        let mut inner = self.inner.borrow_mut();
        if !inner.driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.driver = Some(waker.clone());
        }
    }
}

impl Inner {
    fn give(&mut self, messages: usize, bytes: usize) {
        self.given.0 += messages as u64;
        self.given.1 += bytes as u64;
    }

    /// The same for a message that is this client's alone.
    fn count(&mut self, kind: EventKind, bytes: usize) {
        self.give(1, bytes);
        self.metrics.sent(kind, 1, bytes as u64);
    }

    fn note_dropped(&mut self) {
        let dropped = self.lanes.take_dropped();
        if dropped != [0; LANES.len()] {
            self.dropped += dropped.iter().sum::<u64>();
            self.metrics.dropped(dropped);
        }
    }

    /// Writes frames while nothing waits; what the transport does not take waits.
    fn write_now(&mut self, frames: &Bytes, protocol: Protocol) {
        let Some(transport) = &self.transport else { return };
        match transport.try_write(frames) {
            Ok(taken) if taken == frames.len() => {}
            taken => {
                self.clear = false;
                self.head = frames.slice(taken.unwrap_or(0).min(frames.len())..);
                // Tells a full transport from a broken one.
                self.write(protocol);
            }
        }
    }

    fn close(&mut self, farewell: Farewell, frame: Bytes, keep: bool) {
        if self.farewell.is_some() {
            return;
        }
        if !keep {
            self.lanes.clear();
            self.note_dropped();
        }
        self.clear = false;
        if self.held && !keep {
            // What was held begins with the answer to the upgrade. Without that answer a
            // close frame would be no HTTP, so the connection ends without a word.
            self.held = false;
            self.farewell = Some(farewell);
            return self.wake_driver();
        }
        self.held = false;
        // Behind all lanes, not in the control lane: it is the last frame.
        self.lanes.push_last(frame);
        self.farewell = Some(farewell);
        self.wake_driver();
    }

    fn give_up(&mut self, protocol: Protocol) {
        let farewell = Farewell::SlowConsumer;
        self.close(farewell, protocol.farewell(farewell), false);
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn fail(&mut self) {
        self.clear = false;
        self.flow = Flow::Broken;
        self.transport = None;
        self.lanes.clear();
        self.note_dropped();
        self.head = Bytes::new();
        self.blocked_since = None;
    }

    fn write(&mut self, protocol: Protocol) -> Flow {
        while self.flow == Flow::Idle && !self.held {
            if self.head.is_empty() {
                match self.lanes.next_chunk(protocol) {
                    Some(chunk) => {
                        for page in self.lanes.take_pages() {
                            self.count(EventKind::State, page);
                        }
                        self.head = chunk;
                    }
                    None => {
                        self.clear = self.farewell.is_none() && self.transport.is_some();
                        break;
                    }
                }
            }
            let Some(transport) = &self.transport else { break };
            match transport.try_write(&self.head) {
                Ok(taken) => {
                    if taken == self.head.len() {
                        self.head = Bytes::new();
                    } else {
                        self.head.advance(taken);
                    }
                    self.blocked_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flow = Flow::Blocked;
                    self.blocked_since.get_or_insert_with(Instant::now);
                    self.wake_driver();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!("a connection broke while it was written to: {error}");
                    self.fail();
                    self.wake_driver();
                }
            }
        }
        self.flow
    }
}
