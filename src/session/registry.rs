//! Which connections this node has: the limits on them, the session ids they
//! hold, and how to reach them all.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix::prelude::*;
use ahash::AHashMap;

use super::rate::Bucket;
use crate::{
    config,
    model::{Farewell, LinkId, SessionId, UserId},
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
    /// The node is draining.
    Draining,
}

/// All connections of this node.
pub struct Registry {
    limits: config::Limits,
    max_connections: usize,
    draining: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    connections: usize,
    by_address: AHashMap<IpAddr, usize>,
    by_user: AHashMap<UserId, usize>,
    attempts: AHashMap<IpAddr, Bucket>,
    sessions: AHashMap<SessionId, Holder>,
}

/// Who holds a session id.
struct Holder {
    link: LinkId,
    /// None until the session's actor runs.
    actor: Option<Recipient<End>>,
    /// Whether it was told to end.
    ending: bool,
}

impl Registry {
    /// No connections yet.
    pub fn new(limits: &config::Limits, max_connections: usize) -> Self {
        Self {
            limits: limits.clone(),
            max_connections,
            draining: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Whether the node has as many connections as it may.
    pub fn is_full(&self) -> bool {
        self.connections() >= self.max_connections
    }

    /// Whether the node is draining.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From here on nobody is let in.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// An address tries to connect.
    ///
    /// # Errors
    /// [`Refused::TooOften`], [`Refused::Draining`].
    pub fn attempt(&self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        if self.is_draining() {
            return Err(Refused::Draining);
        }
        let limit = self.limits.connects_per_second;
        let mut inner = self.lock();
        let bucket = inner.attempts.entry(counted(address));
        let taken = bucket.or_insert_with(|| Bucket::new(limit, limit, now)).take(now);
        taken.map_err(Refused::TooOften)
    }

    /// Lets a connection in, under the session id it claims where that is its
    /// user's own: a connection that still holds it is replaced.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        user: Option<&UserId>,
        claim: Option<&str>,
    ) -> Result<Permit, Refused> {
        if self.is_draining() {
            return Err(Refused::Draining);
        }
        let address = counted(address);
        let mut inner = self.lock();
        if inner.connections >= self.max_connections {
            return Err(Refused::Full);
        }
        let name = user.map_or("", UserId::as_str);
        let claim = claim.and_then(|claim| SessionId::parse(claim, name));
        let held = claim.as_ref().and_then(|id| inner.sessions.get(id));
        let replaces = held.is_some_and(|held| held.actor.is_some());
        // A connection that takes the place of another is not one more.
        let replaced = usize::from(replaces);
        let count = |open: Option<&usize>| open.copied().unwrap_or(0).saturating_sub(replaced);
        if count(inner.by_address.get(&address)) >= self.limits.connections_per_ip {
            return Err(Refused::Address);
        }
        if let Some(user) = user
            && count(inner.by_user.get(user)) >= self.limits.connections_per_user
        {
            return Err(Refused::User);
        }
        let session = match claim {
            Some(claim) if replaces || held.is_none() => claim,
            _ => SessionId::random(name),
        };
        inner.connections += 1;
        *inner.by_address.entry(address).or_default() += 1;
        let link = LinkId::next();
        if let Some(user) = user {
            *inner.by_user.entry(user.clone()).or_default() += 1;
        }
        let holder = Holder { link, actor: None, ending: false };
        if let Some(old) = inner.sessions.insert(session.clone(), holder)
            && let Some(actor) = old.actor
        {
            actor.do_send(End { farewell: Farewell::Replaced, reconnect_after: None });
        }
        drop(inner);
        Ok(Permit { registry: self.clone(), address, user: user.cloned(), session, link })
    }

    /// Tells every session that was not told yet to end; `spread` gives each
    /// the time after which to connect again.
    pub fn end_all(&self, farewell: Farewell, spread: impl Fn() -> Duration) {
        for holder in self.lock().sessions.values_mut() {
            if let Some(actor) = &holder.actor
                && !std::mem::replace(&mut holder.ending, true)
            {
                actor.do_send(End { farewell, reconnect_after: Some(spread()) });
            }
        }
    }

    /// Forgets addresses that have not tried for a while.
    pub fn sweep(&self, now: Instant) {
        let mut inner = self.lock();
        inner.attempts.retain(|_, bucket| !bucket.is_full(now));
        if inner.attempts.is_empty() {
            inner.attempts.shrink_to_fit();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that limits count: a household has a whole /64 of IPv6.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// A connection that was let in; it counts until this is dropped.
pub struct Permit {
    registry: Arc<Registry>,
    address: IpAddr,
    user: Option<UserId>,
    session: SessionId,
    link: LinkId,
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

    /// From here on the session can be told to end.
    pub fn register(&self, actor: Recipient<End>) {
        if let Some(holder) = self.registry.lock().sessions.get_mut(&self.session)
            && holder.link == self.link
        {
            holder.actor = Some(actor);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.connections = inner.connections.saturating_sub(1);
        release(&mut inner.by_address, &self.address);
        if let Some(user) = &self.user {
            release(&mut inner.by_user, user);
        }
        if inner.sessions.get(&self.session).is_some_and(|it| it.link == self.link) {
            inner.sessions.remove(&self.session);
        }
    }
}

fn release<K: std::hash::Hash + Eq>(counts: &mut AHashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn registry(change: impl FnOnce(&mut config::Limits)) -> Arc<Registry> {
        let mut limits = Settings::default().limits;
        change(&mut limits);
        Arc::new(Registry::new(&limits, 4))
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn limits_hold_until_a_permit_is_dropped() {
        let registry = registry(|limits| {
            limits.connections_per_user = 1;
            limits.connections_per_ip = 2;
        });
        let ada = registry.admit(HERE, Some(&user("ada")), None).unwrap();
        assert_eq!(registry.admit(HERE, Some(&user("ada")), None).err(), Some(Refused::User));
        let bob = registry.admit(HERE, Some(&user("bob")), None).unwrap();
        assert_eq!(registry.admit(HERE, None, None).err(), Some(Refused::Address));
        drop(ada);
        drop(bob);
        assert!(registry.admit(HERE, Some(&user("ada")), None).is_ok());
        let inner = registry.lock();
        assert!(inner.by_user.is_empty() && inner.by_address.is_empty());
        assert!(inner.sessions.is_empty() && inner.connections == 0);
    }

    #[test]
    fn a_full_or_draining_node_lets_nobody_in() {
        let registry = registry(|_| {});
        let _all: Vec<Permit> = (0..4).map(|_| registry.admit(HERE, None, None).unwrap()).collect();
        assert_eq!(registry.admit(HERE, None, None).err(), Some(Refused::Full));
        registry.begin_drain();
        assert_eq!(registry.admit(HERE, None, None).err(), Some(Refused::Draining));
        assert_eq!(registry.attempt(HERE, Instant::now()), Err(Refused::Draining));
    }

    #[test]
    fn a_session_id_goes_to_the_same_user_only() {
        let registry = registry(|_| {});
        let first = registry.admit(HERE, Some(&user("ada")), None).unwrap();
        let id = first.session().clone();
        let other = registry.admit(HERE, Some(&user("bob")), Some(id.as_str())).unwrap();
        assert_ne!(*other.session(), id);
        drop(first);
        let back = registry.admit(HERE, Some(&user("ada")), Some(id.as_str())).unwrap();
        assert_eq!(*back.session(), id);
    }

    #[test]
    fn attempts_are_counted_by_address_and_by_network() {
        let registry = registry(|limits| limits.connects_per_second = 1);
        let now = Instant::now();
        let near: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        assert!(registry.attempt(near, now).is_ok());
        assert!(matches!(registry.attempt(neighbour, now), Err(Refused::TooOften(_))));
        assert!(registry.attempt(HERE, now).is_ok());
        registry.sweep(now + Duration::from_secs(2));
        assert!(registry.lock().attempts.is_empty());
    }
}
