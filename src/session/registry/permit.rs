use std::{net::IpAddr, sync::Arc};

use actix::prelude::*;

use super::{super::Post, End, Refused, Registry, revocations::Mark};
use crate::{
    auth::{AuthError, Identity},
    cluster::Order,
    model::{Farewell, LifeId, LinkId, SessionId, UserId},
};

/// A connection that was let in; it counts until this is dropped.
pub struct Permit {
    pub(super) registry: Arc<Registry>,
    pub(super) address: IpAddr,
    pub(super) user: Option<UserId>,
    pub(super) session: SessionId,
    pub(super) link: LinkId,
}

impl Permit {
    /// The session id it holds.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The connection's name.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// From here on the session can be told to end; it is at once where there
    /// was a reason meanwhile. Where its client says what it has to say
    /// elsewhere, that goes to `posts`.
    pub fn register(&self, actor: Recipient<End>, posts: Option<Recipient<Post>>) {
        let mut inner = self.registry.lock();
        let reason = match inner.holder(self) {
            Some(holder) => {
                holder.actor = Some(actor.clone());
                holder.posts = posts;
                holder.ending
            }
            None => Some(Farewell::Replaced),
        };
        drop(inner);
        if let Some(farewell) = reason {
            actor.do_send(End { farewell, reconnect_after: None });
        }
    }

    /// Whether the connection may still begin, as long as its upgrade is not answered.
    /// What else it was told meanwhile it is told after `welcome`.
    ///
    /// # Errors
    /// [`Refused::Revoked`], [`Refused::Draining`].
    pub fn recheck(&self) -> Result<(), Refused> {
        let mut inner = self.registry.lock();
        if self.registry.is_draining() {
            return Err(Refused::Draining);
        }
        match inner.holder(self).and_then(|holder| holder.ending) {
            Some(Farewell::TokenRevoked) => Err(Refused::Revoked),
            _ => Ok(()),
        }
    }

    /// The session has a new token.
    ///
    /// # Errors
    /// [`AuthError::Revoked`], looked at in the same step: from then on a
    /// revocation finds the session by its new token.
    pub fn renew(&self, identity: &Identity) -> Result<(), AuthError> {
        let token = Mark::from(identity);
        let mut inner = self.registry.lock();
        if inner.revocations.cover(&identity.profile.user, &token) {
            return Err(AuthError::Revoked);
        }
        if let Some(holder) = inner.holder(self) {
            holder.token = token;
        }
        Ok(())
    }

    /// Whether the session id is a claimed one, which another node's connection
    /// may hold.
    pub(super) fn claims(&self) -> bool {
        self.registry.lock().holder(self).is_some_and(|holder| holder.claim.is_open())
    }

    /// The order by which the connection takes its session id over, where one
    /// is needed now that the other nodes' connections are counted.
    pub(super) fn take_over(&self, elsewhere: usize, life: LifeId) -> Option<Order> {
        let mut inner = self.registry.lock();
        let needed = inner.holder(self)?.claim.decide(elsewhere, life.clone());
        let (session, link) = (self.session.clone(), self.link);
        needed.then_some(Order::TakeOver { session, life, link })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        let open = inner.release(self);
        self.registry.count(inner.connections);
        drop(inner);
        // What took its session id over counts in its place.
        if let (Some(open), Some(user), Some(cluster)) = (open, &self.user, &self.registry.cluster)
        {
            cluster.release(user, open);
        }
    }
}
