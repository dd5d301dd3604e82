use super::Registry;
use crate::model::{LinkId, SessionId, Timestamp, Transport, UserId};

/// A connection of this node, as the registry knows it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The session id it holds.
    pub session: SessionId,
    /// Its name.
    pub link: LinkId,
    /// When it came.
    pub since: Timestamp,
    /// What it goes over.
    pub transport: Transport,
}

impl Registry {
    /// The connections of a user with this node, those first that came first. Those
    /// that end are left out.
    pub fn held_by(&self, user: &UserId) -> Vec<Held> {
        let inner = self.lock();
        let sessions = inner.by_user.get(user).into_iter().flatten();
        let held = sessions.filter_map(|session| {
            let holder = inner.sessions.get(session).filter(|it| it.ending.is_none())?;
            let transport = match holder.posts {
                Some(_) => Transport::Events,
                None => Transport::Websocket,
            };
            let (session, link, since) = (session.clone(), holder.link, holder.since);
            Some(Held { session, link, since, transport })
        });
        let mut held: Vec<Held> = held.collect();
        held.sort_by_key(|it| (it.since, it.link));
        held
    }
}
