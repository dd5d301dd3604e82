use std::sync::Arc;

use actix::prelude::*;

use super::{
    census::Census,
    registry::{Registry, Unordered},
    workers::Workers,
};
use crate::{
    auth::{AuthError, Identity, Verifier},
    backend::{Asker, Hooks},
    broker::{Broker, DeliveryQueues},
    cluster::{Cluster, Revocation, Tokens},
    config::Settings,
    metrics::Metrics,
    model::{Timestamp, UserId, wall_clock},
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

    /// The revocation of all tokens of a user that were issued up to now, and the moment.
    /// Both by the clock of the cluster. Where tokens show that the clocks of their issuers
    /// are ahead, tokens of up to so much later were issued already.
    ///
    /// # Errors
    /// [`Unordered::Unreachable`].
    pub async fn revocation_of(&self, user: &UserId) -> Result<(Revocation, Timestamp), Unordered> {
        let (now, mut ahead) = self.issuers_ahead_ms().await?;
        if let Some(cluster) = &self.cluster {
            // Tokens of the user may have been shown to other nodes alone.
            let reports = cluster.reports().await?;
            ahead = reports.iter().map(|it| it.issuers_ahead_ms).fold(ahead, u64::max);
        }
        let tokens = Tokens::OfUser { user: user.clone(), issued_until: now.saturating_add(ahead) };
        let until = self.settings.auth.revoked_until(now);
        Ok((Revocation { tokens, until }, now))
    }

    /// What time it is by the clock of the cluster, and how far issuers' clocks are ahead of
    /// it.
    pub(super) async fn issuers_ahead_ms(&self) -> Result<(Timestamp, u64), Unordered> {
        let now = self.registry.clock().await?;
        let ahead = self.verifier.issuers_ahead_ms();
        // Seen by this node's clock, which may be wrong itself.
        let ahead = if ahead == 0 { 0 } else { (wall_clock() + ahead).saturating_sub(now) };
        Ok((now, ahead))
    }
}
