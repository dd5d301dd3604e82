use std::rc::Rc;

use actix::prelude::*;
use bytes::BytesMut;
use tokio::net::TcpStream;

use super::{actor::Session, gate::Gate, inbound::Inbound, registry::Permit, worker::Worker};
use crate::{
    auth::Identity,
    outbound::Outbound,
    wire::{Incoming, Protocol},
};

/// What a connection is for.
pub enum Role {
    /// A user's session, with what it asked for while connecting.
    Member {
        /// Whose it is.
        identity: Box<Identity>,
        /// Handled before anything the client sends.
        requests: Vec<Incoming>,
    },
    /// Says back what it is told, for conformance suites.
    Echo,
}

/// A connection that was let in, from which a session grows once the upgrade is
/// answered.
pub struct Seed {
    /// Its place among the node's connections.
    pub permit: Permit,
    /// What it is for.
    pub role: Role,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Seed {
    /// Starts the session on the socket; `early` is what came behind the
    /// request for the upgrade.
    pub fn start(self, worker: Rc<Worker>, stream: TcpStream, early: BytesMut) {
        let settings = &worker.services.settings;
        let stream = Rc::new(stream);
        let link = self.permit.link();
        let bounds = (&settings.outbound).into();
        let outbound = Rc::new(Outbound::new(link, self.protocol, bounds, stream.clone()));
        let gate = Rc::new(Gate::default());
        let message_bytes = settings.limits.message_bytes;
        let inbound =
            Inbound::new(stream.clone(), early, outbound.clone(), gate.clone(), message_bytes);
        worker.links.borrow_mut().insert(link, outbound.clone());
        Session::create(move |ctx| {
            ctx.add_stream(inbound);
            Session::new(self, worker, stream, outbound, gate)
        });
    }
}
