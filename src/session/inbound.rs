use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use futures_util::Stream;

use super::gate::Gate;
use crate::{
    model::Farewell,
    net::Socket,
    outbound::{Flow, Outbound},
    wire::{Decoder, Frame},
};

/// How much is read from a socket at once. The buffer is one for the thread, so
/// that an idle connection holds none.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// What a session learns from its socket.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The client sent something.
    Frame(Frame),
    /// The connection has to end: the client broke a rule, or is too slow for
    /// what its rooms say.
    Ending(Farewell),
    /// The client has read its answers; more may be given.
    Drained,
    /// The connection is over.
    Gone,
}

/// Waits for the socket to take bytes, and gives them to it.
pub(super) fn drive_writes(socket: &Socket, outbound: &Outbound, cx: &mut Context<'_>) -> Flow {
    loop {
        if outbound.flush() != Flow::Blocked {
            return outbound.flow();
        }
        match socket.poll_write_ready(cx) {
            Poll::Ready(Ok(())) => {
                outbound.resume();
            }
            Poll::Ready(Err(_)) => return Flow::Broken,
            Poll::Pending => return Flow::Blocked,
        }
    }
}

/// Reads a client's frames, and waits for its socket to take what the outbound
/// queue holds. Once the connection is ending it sees the close handshake to
/// its end.
pub(super) struct Inbound {
    socket: Rc<Socket>,
    outbound: Rc<Outbound>,
    gate: Rc<Gate>,
    decoder: Decoder,
    buffer: BytesMut,
    /// Whether the session was told that the connection ends.
    ending: bool,
    /// Whether the client's close frame came, or nothing more it sends can be read.
    client_closed: bool,
    /// Whether our half of the connection is closed.
    shut: bool,
}

impl Inbound {
    /// `early` is what came behind the request for the upgrade.
    pub(super) fn new(
        socket: Rc<Socket>,
        early: BytesMut,
        outbound: Rc<Outbound>,
        gate: Rc<Gate>,
        message_bytes: usize,
    ) -> Self {
        Self {
            socket,
            outbound,
            gate,
            decoder: Decoder::new(message_bytes),
            buffer: early,
            ending: false,
            client_closed: false,
            shut: false,
        }
    }

    /// Reads what there is; `Ready(false)` at the end of the stream.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if ready!(self.socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(false);
            }
            let read = BUFFER.with_borrow_mut(|scratch| {
                let read = self.socket.try_read(scratch)?;
                if read < scratch.len() {
                    self.socket.note_drained();
                }
                self.buffer.extend_from_slice(scratch.get(..read).unwrap_or_default());
                Ok::<usize, io::Error>(read)
            });
            match read {
                Ok(0) => return Poll::Ready(false),
                Ok(_) => return Poll::Ready(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// The connection is open: the next thing the session has to know.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            // Frames that came together are handled together; only then is what
            // they gave rise to written, in one go.
            if !self.gate.is_shut() {
                match self.decoder.decode(&mut self.buffer) {
                    Ok(Some(frame)) => {
                        self.client_closed = matches!(frame, Frame::Close(_));
                        return Poll::Ready(Arrival::Frame(frame));
                    }
                    Ok(None) => {}
                    Err(farewell) => return Poll::Ready(Arrival::Ending(farewell)),
                }
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            if drive_writes(&self.socket, &self.outbound, cx) == Flow::Broken {
                return Poll::Ready(Arrival::Gone);
            }
            if let Some(farewell) = self.outbound.farewell() {
                return Poll::Ready(Arrival::Ending(farewell));
            }
            if self.gate.is_congested() && !self.outbound.congested() {
                self.gate.set_congested(false);
                return Poll::Ready(Arrival::Drained);
            }
            if self.gate.is_shut() {
                return Poll::Pending;
            }
            if !ready!(self.fill(cx)) {
                return Poll::Ready(Arrival::Gone);
            }
        }
    }

    /// The close frame is on its way: sees it out, then closes our half and
    /// waits for the client's, so that nothing unread makes the kernel reset
    /// the connection before the client has read why it ends.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            match drive_writes(&self.socket, &self.outbound, cx) {
                Flow::Broken => return Poll::Ready(Arrival::Gone),
                Flow::Idle if self.client_closed => return Poll::Ready(Arrival::Gone),
                Flow::Idle if !self.shut => {
                    self.shut = true;
                    if self.socket.shutdown().is_err() {
                        return Poll::Ready(Arrival::Gone);
                    }
                }
                Flow::Idle | Flow::Blocked => {}
            }
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(Frame::Close(_))) => {
                    self.client_closed = true;
                    continue;
                }
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(_) => self.buffer.clear(),
            }
            if !ready!(self.fill(cx)) {
                return Poll::Ready(Arrival::Gone);
            }
        }
    }
}

impl Stream for Inbound {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.outbound.set_driver(cx.waker());
        if !self.ending {
            if self.outbound.farewell().is_none() {
                let arrival = ready!(self.poll_open(cx));
                self.ending = matches!(arrival, Arrival::Ending(_));
                return Poll::Ready(Some(arrival));
            }
            // The session itself, or the fan-out, has said farewell.
            self.ending = true;
            if let Some(farewell) = self.outbound.farewell() {
                return Poll::Ready(Some(Arrival::Ending(farewell)));
            }
        }
        self.poll_ending(cx).map(Some)
    }
}
