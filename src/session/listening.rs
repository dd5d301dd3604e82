use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, Stream};
use tokio::sync::oneshot;

use super::{
    gate::Gate,
    inbound::{Arrival, drive_writes},
};
use crate::{
    net::Socket,
    outbound::{Flow, Outbound},
};

/// Waits for the socket of a client that only listens to take what the outbound
/// queue holds. Who reads from that socket is the HTTP layer: it tells when the
/// client is gone, and ends the connection when this is dropped.
pub(super) struct Listening {
    socket: Rc<Socket>,
    outbound: Rc<Outbound>,
    gate: Rc<Gate>,
    /// Ends when the HTTP layer let go of the answer.
    gone: oneshot::Receiver<Infallible>,
    /// Tells the HTTP layer, by being dropped, that the answer is over.
    _over: oneshot::Sender<Infallible>,
    /// Whether the session was told that the connection ends.
    ending: bool,
    /// Whether our half of the connection is closed.
    shut: bool,
}

impl Listening {
    pub(super) fn new(
        socket: Rc<Socket>,
        outbound: Rc<Outbound>,
        gate: Rc<Gate>,
        gone: oneshot::Receiver<Infallible>,
        over: oneshot::Sender<Infallible>,
    ) -> Self {
        Self { socket, outbound, gate, gone, _over: over, ending: false, shut: false }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        self.gone.poll_unpin(cx).map(|_| Arrival::Gone)
    }
}

impl Stream for Listening {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.outbound.set_driver(cx.waker());
        let flow = drive_writes(&self.socket, &self.outbound, cx);
        if flow == Flow::Broken {
            return Poll::Ready(Some(Arrival::Gone));
        }
        if let Some(farewell) = self.outbound.farewell() {
            if !std::mem::replace(&mut self.ending, true) {
                return Poll::Ready(Some(Arrival::Ending(farewell)));
            }
            if flow == Flow::Idle && !self.shut {
                // The client reads the end of the answer, and closes its half.
                self.shut = true;
                if self.socket.shutdown().is_err() {
                    return Poll::Ready(Some(Arrival::Gone));
                }
            }
        } else if self.gate.is_congested() && !self.outbound.congested() {
            self.gate.set_congested(false);
            return Poll::Ready(Some(Arrival::Drained));
        }
        Poll::Ready(Some(ready!(self.poll_gone(cx))))
    }
}
