//! What the other nodes have to say before a connection is let in.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{Permit, Refused, Registry, counted};
use crate::{
    auth::Identity,
    cluster::{Admission, Attempt, Unreachable},
};

impl Registry {
    /// Somebody tries to connect. Where the other nodes cannot be asked, this
    /// one decides.
    ///
    /// # Errors
    /// [`Refused::TooOften`], [`Refused::UserTooOften`], [`Refused::Draining`].
    pub async fn attempt(&self, who: Attempt<'_>) -> Result<(), Refused> {
        let who = match who {
            Attempt::Address(address) => Attempt::Address(counted(address)),
            Attempt::User(_) => who,
        };
        self.attempt_here(who, Instant::now())?;
        let Some(cluster) = &self.cluster else { return Ok(()) };
        match cluster.attempt(who, self.limits.connects_per_second).await {
            Ok(Some(wait)) => Err(Refused::too_often(who, wait)),
            Ok(None) | Err(Unreachable) => Ok(()),
        }
    }

    /// Lets a connection in, under the session id it claims where that is its
    /// user's own: a connection that still holds it, on any node, is replaced.
    ///
    /// A connection that may replace one on another node may be one more than
    /// the user's limit: the other is counted there until it has ended.
    ///
    /// # Errors
    /// Which limit is reached, or why else it is not let in.
    pub async fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        identity: Option<&Identity>,
        claim: Option<&str>,
    ) -> Result<Permit, Refused> {
        let (permit, replaces) = self.admit_here(address, identity, claim)?;
        let (Some(cluster), Some(identity)) = (&self.cluster, identity) else { return Ok(permit) };
        let user = &identity.profile.user;
        let limit = self.limits.connections_per_user + usize::from(permit.claims());
        let open = self.open(user);
        let elsewhere = match cluster.admit(user, open, limit).await {
            Ok(Admission::Admitted { elsewhere }) => elsewhere,
            // In the place of one of this node's it is not one more.
            Ok(Admission::TooMany) if replaces => 1,
            Err(Unreachable) if replaces => 0,
            Ok(Admission::TooMany) => return Err(Refused::User),
            Err(Unreachable) => return Err(Refused::Unreachable),
        };
        let now = self.open(user);
        if now != open {
            // Others came or went meanwhile, and their word may have been taken
            // before this one.
            cluster.release(user, now);
        }
        if let Some(order) = permit.take_over(elsewhere, cluster.life()) {
            cluster.order(order).await.map_err(|Unreachable| Refused::Unreachable)?;
        }
        Ok(permit)
    }
}
