use std::sync::Arc;

use actix::prelude::*;

use super::{census::Census, registry::Registry, workers::Workers};
use crate::{
    auth::{AuthError, Identity, Verifier},
    backend::{Asker, Hooks},
    broker::{Broker, DeliveryQueues},
    cluster::Cluster,
    config::Settings,
    metrics::Metrics,
    model::Timestamp,
    net::Certificate,
    presence::PresenceSupervisor,
    trace::Traces,
};

/// What all sessions of a node share.
pub struct Services {
    /// How the node is set up.
    pub settings: Settings,
    /// The node's name.
    pub node: Arc<str>,
    /// Who a token stands for; [`Services::verify`] knows of revocations as well.
    pub verifier: Verifier,
    /// Where messages get their place.
    pub broker: Arc<dyn Broker>,
    /// The way to the other nodes, where there are any.
    pub cluster: Option<Arc<dyn Cluster>>,
    /// Who is where.
    pub presence: Addr<PresenceSupervisor>,
    /// Where the rooms of each worker are.
    pub workers: Workers,
    /// The delivery queues of the workers, on the way from the broker to their rooms.
    pub queues: Arc<DeliveryQueues>,
    /// Which connections there are.
    pub registry: Arc<Registry>,
    /// By which a user's sessions on all nodes are found.
    pub census: Arc<Census>,
    /// By whom users and rooms are traced.
    pub traces: Arc<Traces>,
    /// By which a backend is asked, where one is.
    pub asker: Option<Arc<Asker>>,
    /// The backends that are told, where any are.
    pub hooks: Option<Arc<Hooks>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// By which clients know the node, where it speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
}

impl Services {
    /// The identity a token stands for at the time `now`.
    ///
    /// # Errors
    /// [`AuthError`] for a token that is not accepted, or not any more.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, AuthError> {
        let identity = self.verifier.verify(token, now)?;
        if self.registry.is_revoked(&identity) {
            return Err(AuthError::Revoked);
        }
        Ok(identity)
    }
}
