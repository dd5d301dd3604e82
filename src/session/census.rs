//! Which sessions a user has, on all nodes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use ahash::{AHashMap, AHashSet};
use tokio::{sync::mpsc, time::timeout};

use super::registry::Registry;
use crate::{
    cluster::{Cluster, Connection, Unreachable, Whisper},
    model::{UserId, random_u64},
    presence::{PresenceSupervisor, RoomsOf},
};

/// How long the other nodes may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many rooms of a session are named.
const ROOMS: usize = 100;

type Answer = (Arc<str>, Vec<Connection>);

/// Asks the nodes for a user's sessions, and answers them.
pub struct Census {
    node: Arc<str>,
    registry: Arc<Registry>,
    presence: Addr<PresenceSupervisor>,
    /// Who waits for answers, by ticket.
    asked: Mutex<AHashMap<u64, mpsc::UnboundedSender<Answer>>>,
}

/// The sessions of a user.
#[derive(Debug)]
pub struct Found {
    /// Each with its node.
    pub sessions: Vec<(Arc<str>, Connection)>,
    /// The nodes that have some and did not say which.
    pub silent: Vec<Box<str>>,
}

impl Census {
    /// Of the node of this name.
    pub fn new(
        node: Arc<str>,
        registry: Arc<Registry>,
        presence: Addr<PresenceSupervisor>,
    ) -> Self {
        Self { node, registry, presence, asked: Mutex::default() }
    }

    /// The sessions of a user. `elsewhere` are the other nodes that are known to
    /// have some; of them those are waited for a while.
    ///
    /// # Errors
    /// [`Unreachable`] where they cannot even be asked.
    pub async fn sessions(
        &self,
        user: &UserId,
        elsewhere: Vec<Box<str>>,
        cluster: Option<&dyn Cluster>,
    ) -> Result<Found, Unreachable> {
        let own = self.here(user).await;
        let mut sessions: Vec<_> = own.into_iter().map(|it| (self.node.clone(), it)).collect();
        let mut missing: AHashSet<Box<str>> = elsewhere.into_iter().collect();
        if let Some(cluster) = cluster.filter(|_| !missing.is_empty()) {
            let (answers, mut answered) = mpsc::unbounded_channel();
            let question = Question { census: self, ticket: random_u64() };
            let ticket = question.ticket;
            self.asked().insert(ticket, answers);
            let gathered = async {
                cluster.whisper(&Whisper::WhoHas { ticket, user: user.clone() }).await?;
                while !missing.is_empty()
                    && let Some((node, connections)) = answered.recv().await
                {
                    missing.remove(&*node);
                    sessions.extend(connections.into_iter().map(|it| (node.clone(), it)));
                }
                Ok::<(), Unreachable>(())
            };
            timeout(PATIENCE, gathered).await.unwrap_or(Ok(()))?;
        }
        sessions.sort_by(|(_, a), (_, b)| (a.since, &a.session).cmp(&(b.since, &b.session)));
        let mut silent: Vec<_> = missing.into_iter().collect();
        silent.sort_unstable();
        Ok(Found { sessions, silent })
    }

    /// Those of this node.
    async fn here(&self, user: &UserId) -> Vec<Connection> {
        let held = self.registry.held_by(user);
        let links = held.iter().map(|it| it.link).collect();
        // Presence is gone, or stands still, only after a defect; then nobody knows the rooms.
        let rooms = timeout(PATIENCE, self.presence.send(RoomsOf { links })).await;
        let rooms = rooms.ok().and_then(Result::ok).unwrap_or_default();
        let mut rooms = rooms.into_iter();
        let connection = |held: super::registry::Held| {
            let mut rooms = rooms.next().unwrap_or_default();
            let room_count = rooms.len();
            rooms.truncate(ROOMS);
            let (session, since, transport) = (held.session, held.since, held.transport);
            Connection { session, since, transport, rooms, room_count }
        };
        held.into_iter().map(connection).collect()
    }

    /// Another node asks, where this one has something to say.
    pub fn asked_for(
        self: &Arc<Self>,
        ticket: u64,
        user: UserId,
    ) -> Option<impl Future<Output = Whisper> + Send + 'static> {
        if self.registry.held_by(&user).is_empty() {
            return None;
        }
        let census = self.clone();
        Some(async move {
            let connections = census.here(&user).await;
            Whisper::Has { ticket, node: census.node.clone(), connections }
        })
    }

    /// Another node answers.
    pub fn answered(&self, ticket: u64, node: Arc<str>, connections: Vec<Connection>) {
        if let Some(waiting) = self.asked().get(&ticket) {
            // Who asked may have gone.
            let _ = waiting.send((node, connections));
        }
    }

    fn asked(&self) -> MutexGuard<'_, AHashMap<u64, mpsc::UnboundedSender<Answer>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that waits for its answers. Whoever asked may stop waiting at any moment.
struct Question<'a> {
    census: &'a Census,
    ticket: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.census.asked().remove(&self.ticket);
    }
}
