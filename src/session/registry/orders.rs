//! What an order does to the connections of this node.

use super::{Inner, Registry};
use crate::{
    cluster::{Order, Revocation, Tokens},
    model::{Farewell, LifeId, LinkId, SessionId, UserId},
};

impl Registry {
    /// Does what holds for all nodes. To be called with every order, in their
    /// order, those that this node gave among them.
    pub fn apply(&self, order: &Order) {
        match order {
            Order::TakeOver { session, life, link } => self.yield_session(session, life, *link),
            Order::Disconnect { user } => self.disconnect(user),
            Order::End { session } => self.end_session(session),
            Order::Revoke(revocation) => self.revoke(revocation),
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

    fn revoke(&self, revocation: &Revocation) {
        let mut inner = self.lock();
        inner.revocations.add(revocation);
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
    }
}
