//! How orders are given, and what they do to the connections of this node.

use super::{Inner, Registry};
use crate::{
    broker::Unavailable,
    cluster::{Order, Revocation, Tokens, Unreachable},
    model::{Farewell, LifeId, LinkId, SessionId, Timestamp, UserId, wall_clock},
};

/// An order may hold or not. To give it again is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unordered {
    /// The other nodes may not know it.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// It holds until this node restarts, and maybe no longer.
    #[error(transparent)]
    Unstored(#[from] Unavailable),
}

impl Registry {
    /// Gives an order to all nodes, this one among them. A revocation is stored when
    /// this resolves, where it is to outlive the process.
    ///
    /// # Errors
    /// [`Unordered`].
    pub async fn order(&self, order: Order) -> Result<(), Unordered> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.order(order).await?);
        }
        let Order::Revoke(revocation) = order else {
            self.apply(&order);
            return Ok(());
        };
        let forgotten = self.revoke(&revocation);
        if let Some(store) = &self.store {
            store.update(Some(revocation), forgotten).await?;
        }
        Ok(())
    }

    /// What time it is by the clock that revocations go by: that of the cluster, so that a
    /// node whose own clock is wrong revokes what the others do.
    ///
    /// # Errors
    /// [`Unordered::Unreachable`].
    pub async fn clock(&self) -> Result<Timestamp, Unordered> {
        match &self.cluster {
            Some(cluster) => Ok(cluster.clock().await?),
            None => Ok(wall_clock()),
        }
    }

    /// The revocations that are remembered.
    pub fn revocations(&self) -> Vec<Revocation> {
        self.lock().revocations.all()
    }

    /// Does what holds for all nodes. To be called with the orders of all nodes, in their
    /// order, and with those of this node; see [`Order`].
    pub fn apply(&self, order: &Order) {
        match order {
            Order::TakeOver { session, life, link } => self.yield_session(session, life, *link),
            Order::Disconnect { user } => self.disconnect(user),
            Order::End { session } => self.end_session(session),
            Order::Revoke(revocation) => drop(self.revoke(revocation)),
        }
    }

    fn yield_session(&self, session: &SessionId, life: &LifeId, link: LinkId) {
        if let Some(holder) = self.lock().sessions.get_mut(session)
            && holder.claim.yields(holder.link == link, life)
        {
            holder.end(Farewell::Replaced, None);
        }
    }

    fn disconnect(&self, user: &UserId) {
        let mut inner = self.lock();
        let held = inner.by_user.get(user).cloned().unwrap_or_default();
        for session in held {
            if let Some(holder) = inner.sessions.get_mut(&session) {
                holder.end(Farewell::Kicked, None);
            }
        }
    }

    fn end_session(&self, session: &SessionId) {
        if let Some(holder) = self.lock().sessions.get_mut(session) {
            holder.end(Farewell::Kicked, None);
        }
    }

    /// Answers the revocations that are forgotten for it.
    fn revoke(&self, revocation: &Revocation) -> Vec<Revocation> {
        let mut inner = self.lock();
        let forgotten = inner.revocations.add(revocation);
        let Inner { by_user, sessions, .. } = &mut *inner;
        let mut end = |user: &UserId, held: &[SessionId]| {
            for session in held {
                if let Some(holder) = sessions.get_mut(session)
                    && holder.token.is_among(&revocation.tokens, user)
                {
                    holder.end(Farewell::TokenRevoked, None);
                }
            }
        };
        match &revocation.tokens {
            Tokens::OfUser { user, .. } => end(user, by_user.get(user).map_or(&[], Vec::as_slice)),
            // Nothing finds a session by its token's name: that would cost
            // every session, for what is seldom asked.
            Tokens::Named(_) => by_user.iter().for_each(|(user, held)| end(user, held)),
        }
        forgotten
    }
}
