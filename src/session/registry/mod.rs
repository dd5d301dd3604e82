//! Which connections this node has: the limits on them, the session ids they
//! hold, the tokens they showed, and how to reach them all. Where there are
//! other nodes, the limits and the ids hold for all of them together.

mod admission;
mod attempts;
mod claim;
mod listing;
mod orders;
mod permit;
mod posts;
mod revocations;
#[cfg(test)]
mod tests;

pub use listing::Held;
pub use orders::Unordered;
pub use permit::Permit;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::AHashMap;
use tokio::sync::watch;

use self::{
    attempts::Attempts,
    claim::Claim,
    revocations::{Mark, Revocations},
};
use super::Post;
use crate::{
    auth::Identity,
    broker::RevocationStore,
    cluster::{Attempt, CLOCK_SLACK, Cluster},
    config,
    model::{Farewell, LinkId, SessionId, Timestamp, UserId, wall_clock},
    shedding::{Cause, Shedding},
};

/// Ends a session from outside.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct End {
    /// Why.
    pub farewell: Farewell,
    /// Told before the close: how long to wait before connecting again.
    pub reconnect_after: Option<Duration>,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The node has as many connections as it may.
    Full,
    /// The address has as many connections as it may.
    Address,
    /// The user has as many connections as it may.
    User,
    /// The address tries too often; worth another try after so long.
    TooOften(Duration),
    /// The user does.
    UserTooOften(Duration),
    /// The token was revoked since it was verified.
    Revoked,
    /// The other nodes cannot be asked.
    Unreachable,
    /// The node is draining.
    Draining,
    /// The node has too much of something else than connections.
    Overloaded(Cause),
}

impl Refused {
    fn too_often(who: Attempt<'_>, wait: Duration) -> Self {
        match who {
            Attempt::Address(_) => Self::TooOften(wait),
            Attempt::User(_) => Self::UserTooOften(wait),
        }
    }

    /// A word for metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address_connections",
            Self::User => "user_connections",
            Self::TooOften(_) => "address_attempts",
            Self::UserTooOften(_) => "user_attempts",
            Self::Revoked => "token",
            Self::Unreachable => "unreachable",
            Self::Draining => "draining",
            Self::Overloaded(cause) => cause.word(),
        }
    }
}

/// All connections of this node.
pub struct Registry {
    limits: config::Limits,
    max_connections: usize,
    /// From how many connections on new ones are refused, and down to how many.
    full: (usize, usize),
    shedding: Shedding,
    cluster: Option<Arc<dyn Cluster>>,
    /// Where revocations outlive this node, where it has no cluster that knows them.
    store: Option<Arc<dyn RevocationStore>>,
    draining: watch::Sender<bool>,
    attempts: Attempts,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    connections: usize,
    by_address: AHashMap<IpAddr, usize>,
    /// The session ids that a user's connections hold.
    by_user: AHashMap<UserId, Vec<SessionId>>,
    sessions: AHashMap<SessionId, Holder>,
    revocations: Revocations,
}

/// Who holds a session id.
struct Holder {
    link: LinkId,
    since: Timestamp,
    /// None until the session's actor runs.
    actor: Option<Recipient<End>>,
    /// Where goes what its client says by requests of their own; none for a
    /// client that says it over its socket.
    posts: Option<Recipient<Post>>,
    token: Mark,
    claim: Claim,
    /// Why it was told to end, or is to be as soon as it runs.
    ending: Option<Farewell>,
}

impl Holder {
    fn end(&mut self, farewell: Farewell, reconnect_after: Option<Duration>) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(farewell);
        if let Some(actor) = &self.actor {
            actor.do_send(End { farewell, reconnect_after });
        }
    }
}

impl Registry {
    /// No connections yet.
    pub fn new(
        limits: &config::Limits,
        max_connections: usize,
        cluster: Option<Arc<dyn Cluster>>,
    ) -> Self {
        Self {
            limits: limits.clone(),
            max_connections,
            full: full_at(max_connections, 100),
            shedding: Shedding::default(),
            cluster,
            store: None,
            draining: watch::Sender::new(false),
            attempts: Attempts::new(limits.connects_per_second),
            inner: Mutex::default(),
        }
    }

    /// The same, which is full at so many percent of its connections. The rest is for
    /// those that take over a session.
    #[must_use]
    pub fn full_at(self, percent: u8) -> Self {
        Self { full: full_at(self.max_connections, percent), ..self }
    }

    /// The same, which knows the revocations in `store`, and keeps its own there.
    #[must_use]
    pub fn keeping(self, store: Option<Arc<dyn RevocationStore>>) -> Self {
        let kept = store.as_ref().map(|store| store.load()).unwrap_or_default();
        for revocation in &kept {
            self.lock().revocations.add(revocation);
        }
        Self { store, ..self }
    }

    /// Why new work is refused, if it is.
    pub fn shedding(&self) -> &Shedding {
        &self.shedding
    }

    /// Somebody wants in.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] where the node takes nobody new, for another cause than
    /// connections.
    pub fn require_room(&self) -> Result<(), Refused> {
        match self.shedding.refuses_connection(self.connections()) {
            Some(cause) => Err(Refused::Overloaded(cause)),
            None => Ok(()),
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// How many of them each user has.
    pub fn open_by_user(&self) -> Vec<(UserId, usize)> {
        self.lock().by_user.iter().map(|(user, held)| (user.clone(), held.len())).collect()
    }

    fn open(&self, user: &UserId) -> usize {
        self.lock().by_user.get(user).map_or(0, Vec::len)
    }

    /// Decides whether the node is full, now that it has so many connections. It is
    /// until some of them have gone, or it would be and not be by turns.
    fn count(&self, connections: usize) {
        let (most, fewest) = self.full;
        if connections >= most {
            self.shedding.set(Cause::Connections, true);
        } else if connections <= fewest {
            self.shedding.set(Cause::Connections, false);
        }
    }

    /// Whether the node is draining.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// From here on nobody is let in.
    pub fn begin_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Waits until the node drains.
    pub async fn drain_begins(&self) {
        // The sender is in `self`: waiting does not fail.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// Whether a token was revoked.
    pub fn is_revoked(&self, identity: &Identity) -> bool {
        self.lock().revocations.cover(&identity.profile.user, &identity.into())
    }

    /// Somebody tries to connect, as far as this node knows.
    fn attempt_here(&self, who: Attempt<'_>, now: Instant) -> Result<(), Refused> {
        if self.is_draining() {
            return Err(Refused::Draining);
        }
        self.attempts.count(who, now).map_err(|wait| Refused::too_often(who, wait))
    }

    /// Lets a connection in as far as this node knows. Answers as well whether
    /// it replaces one of this node.
    fn admit_here(
        self: &Arc<Self>,
        address: IpAddr,
        identity: Option<&Identity>,
        claim: Option<&str>,
    ) -> Result<(Permit, bool), Refused> {
        let address = counted(address);
        let user = identity.map(|identity| &identity.profile.user);
        let token = identity.map(Mark::from).unwrap_or_default();
        let name = user.map_or("", UserId::as_str);
        let claimed = claim.and_then(|claim| SessionId::parse(claim, name));

        let mut inner = self.lock();
        // Under the lock that a drain takes to count connections: who is let in by this is
        // counted by it and told to go.
        if self.is_draining() {
            return Err(Refused::Draining);
        }
        if inner.connections >= self.max_connections {
            return Err(Refused::Full);
        }
        let full = self.shedding.is_for(Cause::Connections);
        let held = claimed.as_ref().and_then(|id| inner.sessions.get(id));
        // Whether an order has given the id to another node, or is on its way.
        let contested = held.is_some_and(|it| it.ending.is_some() || it.claim.is_open());
        // A connection that takes the place of another is not one more.
        let replaces = held.is_some();
        if full && !replaces {
            return Err(Refused::Full);
        }
        let at_address = inner.by_address.get(&address).copied().unwrap_or(0);
        if at_address.saturating_sub(usize::from(replaces)) >= self.limits.connections_per_ip {
            return Err(Refused::Address);
        }
        if let Some(user) = user {
            if inner.revocations.cover(user, &token) {
                return Err(Refused::Revoked);
            }
            let open = inner.by_user.get(user).map_or(0, Vec::len);
            if !replaces && open >= self.limits.connections_per_user {
                return Err(Refused::User);
            }
        }

        let claim = match &claimed {
            Some(_) if self.cluster.is_some() => Claim::Weighed { contested },
            _ => Claim::Held,
        };
        let session = claimed.unwrap_or_else(|| SessionId::random(name));
        let link = LinkId::next();
        inner.connections += 1;
        self.count(inner.connections);
        *inner.by_address.entry(address).or_default() += 1;
        let since = wall_clock();
        let holder = Holder { link, since, actor: None, posts: None, token, claim, ending: None };
        match inner.sessions.insert(session.clone(), holder) {
            Some(mut old) => old.end(Farewell::Replaced, None),
            None => {
                if let Some(user) = user {
                    inner.by_user.entry(user.clone()).or_default().push(session.clone());
                }
            }
        }
        drop(inner);
        let (registry, user) = (self.clone(), user.cloned());
        Ok((Permit { registry, address, user, session, link }, replaces))
    }

    /// Tells every session that was not told yet to end; `spread` gives each
    /// the time after which to connect again.
    pub fn end_all(&self, farewell: Farewell, spread: impl Fn() -> Duration) {
        for holder in self.lock().sessions.values_mut().filter(|it| it.actor.is_some()) {
            holder.end(farewell, Some(spread()));
        }
    }

    /// Forgets who has not tried to connect for a while, and revocations that are
    /// over their time: where they are stored, when the store lets go of them.
    pub async fn sweep(&self, now: Instant) {
        self.attempts.sweep(now);
        let now = before_slack(wall_clock());
        if let Some(store) = &self.store {
            let over = self.lock().revocations.over(now);
            // What it still has then is found again by the next sweep.
            if !over.is_empty() && store.update(None, over).await.is_err() {
                return;
            }
        }
        self.lock().revocations.sweep(now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is known of a connection, while it holds its session id.
    fn holder(&mut self, permit: &Permit) -> Option<&mut Holder> {
        self.sessions.get_mut(&permit.session).filter(|holder| holder.link == permit.link)
    }

    /// A connection is over. Answers how many its user has now, where that
    /// changed.
    fn release(&mut self, permit: &Permit) -> Option<usize> {
        self.connections = self.connections.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&permit.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&permit.address);
            }
        }
        self.holder(permit)?;
        self.sessions.remove(&permit.session);
        let user = permit.user.as_ref()?;
        let held = self.by_user.get_mut(user)?;
        held.retain(|session| *session != permit.session);
        let open = held.len();
        if open == 0 {
            self.by_user.remove(user);
        }
        Some(open)
    }
}

/// What ended by then is over by every clock.
fn before_slack(now: Timestamp) -> Timestamp {
    now.saturating_sub(u64::try_from(CLOCK_SLACK.as_millis()).unwrap_or(u64::MAX))
}

/// Full at so many, until there are at most so many.
fn full_at(most: usize, percent: u8) -> (usize, usize) {
    let at = (most as u128 * u128::from(percent)).div_ceil(100);
    let at = usize::try_from(at).unwrap_or(most);
    (at, at.saturating_sub((at / 20).max(1)))
}

/// The address that limits count: a household has a whole /64 of IPv6.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}
