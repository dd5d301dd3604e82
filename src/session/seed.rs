use std::{convert::Infallible, rc::Rc};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::sync::oneshot;

use super::{
    actor::Session,
    gate::Gate,
    inbound::{Arrival, Inbound},
    listening::Listening,
    numbered::Numbered,
    opening::OpenedInbox,
    registry::Permit,
    tracing::Admit,
    worker::Worker,
};
use crate::{
    auth::Identity,
    model::{CallId, Position, RoomName},
    net::Socket,
    outbound::{Outbound, Transport},
    trace::Place,
    wire::{Command, Incoming, Places, Protocol, Since, sse},
};

/// After how many milliseconds a browser whose stream of events was lost comes
/// back: the least, and over how many more they are spread.
const RETRY: (u64, u64) = (1000, 2000);

/// What a connection is for.
pub enum Role {
    /// A user's session, with what it asked for while connecting.
    Member {
        /// Whose it is.
        identity: Box<Identity>,
        /// Handled before anything the client sends.
        requests: Vec<Incoming>,
        /// What makes sure that it can be welcomed.
        inbox: OpenedInbox,
    },
    /// Says back what it is told, for conformance suites.
    Echo,
    /// Tells an operator what happens.
    Trace {
        /// Called with the first message.
        admit: Admit,
        /// Its place among those who have not said it yet.
        place: Place,
    },
}

/// A connection that was let in, from which a session grows once the upgrade is
/// answered.
pub struct Seed {
    /// The request that it came by.
    pub call: CallId,
    /// Its place among the node's connections.
    pub permit: Permit,
    /// What it is for.
    pub role: Role,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Seed {
    /// Starts the session on a socket that is its own from here on. `answer` is that
    /// to the request for the upgrade, for the session to write, and `early` what came
    /// behind the request.
    pub fn start(self, worker: Rc<Worker>, socket: Rc<Socket>, answer: Bytes, early: BytesMut) {
        let message_bytes = worker.services.settings.limits.message_bytes;
        let grown = Grown::new(&self, &worker, socket.clone());
        grown.outbound.queue_sign(answer);
        if let Role::Member { .. } = self.role {
            // `welcome` is a moment away, and costs less in the same write.
            grown.outbound.hold();
        }
        let inbound = Inbound::new(
            socket.clone(),
            early,
            grown.outbound.clone(),
            grown.gate.clone(),
            message_bytes,
        );
        grown.run(self, worker, socket, inbound);
    }

    /// Starts the session on the socket of an answer that does not end. `gone`
    /// ends when the HTTP layer lets go of the answer; it has to when `over`
    /// does. With `silent`, events go without an `id`.
    pub fn listen(
        self,
        worker: Rc<Worker>,
        socket: Rc<Socket>,
        silent: bool,
        gone: oneshot::Receiver<Infallible>,
        over: oneshot::Sender<Infallible>,
    ) {
        worker.services.metrics.streams_opened.inc();
        // Who answers nothing can only be missed by what it does not acknowledge.
        socket.be_patient(worker.services.settings.heartbeat.timeout);
        let places = Places::new(self.known(), silent);
        let transport = Numbered::new(socket.clone(), places);
        let grown = Grown::new(&self, &worker, Rc::new(transport));
        let spread = getrandom::u64().unwrap_or_default() % RETRY.1;
        grown.outbound.queue_sign(sse::retry(RETRY.0 + spread));
        let listening =
            Listening::new(socket.clone(), grown.outbound.clone(), grown.gate.clone(), gone, over);
        grown.run(self, worker, socket, listening);
    }

    /// The places that the client named.
    fn known(&self) -> impl Iterator<Item = (&RoomName, Position)> {
        let requests = match &self.role {
            Role::Member { requests, .. } => requests.as_slice(),
            Role::Echo | Role::Trace { .. } => &[],
        };
        requests.iter().filter_map(|request| match &request.command {
            Ok(Command::Join { room, since: Some(Since { epoch: Some(epoch), seq }), .. }) => {
                Some((room, Position { epoch: *epoch, seq: *seq }))
            }
            _ => None,
        })
    }
}

/// What a session and those who write to its client share.
struct Grown {
    outbound: Rc<Outbound>,
    gate: Rc<Gate>,
}

impl Grown {
    fn new(seed: &Seed, worker: &Worker, transport: Rc<dyn Transport>) -> Self {
        let link = seed.permit.link();
        let bounds = (&worker.services.settings.outbound).into();
        let outbound =
            Rc::new(Outbound::new(link, seed.protocol, bounds, transport, worker.metrics.clone()));
        worker.links.borrow_mut().insert(link, outbound.clone());
        Self { outbound, gate: Rc::default() }
    }

    fn run(
        self,
        seed: Seed,
        worker: Rc<Worker>,
        socket: Rc<Socket>,
        arrivals: impl Stream<Item = Arrival> + 'static,
    ) {
        Session::create(move |ctx| {
            ctx.add_stream(arrivals);
            Session::new(seed, worker, socket, self.outbound, self.gate)
        });
    }
}
