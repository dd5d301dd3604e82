mod cluster;
mod nodes;
mod revoking;

use std::net::Ipv4Addr;

use actix::Actor;

use super::*;
use crate::{
    cluster::{Order, Revocation, Tokens},
    config::Settings,
    model::{Grants, Profile, Timestamp},
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn registry(change: impl FnOnce(&mut config::Limits)) -> Arc<Registry> {
    let mut limits = Settings::default().limits;
    change(&mut limits);
    Arc::new(Registry::new(&limits, 4, None))
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn identity(name: &str) -> Identity {
    issued(name, Some(1_000), None)
}

fn issued(name: &str, issued_at: Option<Timestamp>, id: Option<&str>) -> Identity {
    Identity {
        profile: Arc::new(Profile { user: user(name), name: None, meta: None }),
        grants: Arc::new(Grants::default()),
        expires_at: None,
        issued_at,
        guest: false,
        token_id: id.map(Arc::from),
    }
}

/// A session that notes why it was told to end.
struct Listener(Arc<Mutex<Vec<Farewell>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<End> for Listener {
    type Result = ();

    fn handle(&mut self, End { farewell, .. }: End, _: &mut Self::Context) {
        self.0.lock().unwrap().push(farewell);
    }
}

/// A connection whose session runs.
struct Running {
    permit: Permit,
    listener: actix::Addr<Listener>,
    told: Arc<Mutex<Vec<Farewell>>>,
}

impl Running {
    fn new(permit: Permit) -> Self {
        let told = Arc::default();
        let listener = Listener(Arc::clone(&told)).start();
        permit.register(listener.clone().recipient(), None);
        Self { permit, listener, told }
    }

    /// What it was told up to now.
    async fn told(&self) -> Vec<Farewell> {
        // What was sent to it before comes before this.
        self.listener.send(Fence).await.unwrap();
        self.told.lock().unwrap().clone()
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Fence;

impl Handler<Fence> for Listener {
    type Result = ();

    fn handle(&mut self, _: Fence, _: &mut Self::Context) {}
}

#[actix::test]
async fn limits_hold_until_a_permit_is_dropped() {
    let registry = registry(|limits| {
        limits.connections_per_user = 1;
        limits.connections_per_ip = 2;
    });
    let (ada, bob) = (identity("ada"), identity("bob"));
    let first = registry.admit(HERE, Some(&ada), None).await.unwrap();
    assert_eq!(registry.admit(HERE, Some(&ada), None).await.err(), Some(Refused::User));
    let second = registry.admit(HERE, Some(&bob), None).await.unwrap();
    assert_eq!(registry.admit(HERE, None, None).await.err(), Some(Refused::Address));
    drop(first);
    drop(second);
    assert!(registry.admit(HERE, Some(&ada), None).await.is_ok());
    let inner = registry.lock();
    assert!(inner.by_user.is_empty() && inner.by_address.is_empty());
    assert!(inner.sessions.is_empty() && inner.connections == 0);
}

#[actix::test]
async fn a_full_or_draining_node_lets_nobody_in() {
    let registry = registry(|_| {});
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(registry.admit(HERE, None, None).await.unwrap());
    }
    assert_eq!(registry.admit(HERE, None, None).await.err(), Some(Refused::Full));
    registry.begin_drain();
    assert_eq!(registry.admit(HERE, None, None).await.err(), Some(Refused::Draining));
    assert_eq!(registry.attempt(Attempt::Address(HERE)).await, Err(Refused::Draining));
}

#[actix::test]
async fn a_session_id_goes_to_the_same_user_only() {
    let registry = registry(|_| {});
    let (ada, bob) = (identity("ada"), identity("bob"));
    let first = registry.admit(HERE, Some(&ada), None).await.unwrap();
    let id = first.session().clone();
    let other = registry.admit(HERE, Some(&bob), Some(id.as_str())).await.unwrap();
    assert_ne!(*other.session(), id);
    drop(first);
    let back = registry.admit(HERE, Some(&ada), Some(id.as_str())).await.unwrap();
    assert_eq!(*back.session(), id);
}

#[actix::test]
async fn a_connection_in_another_s_place_is_not_one_more() {
    let registry = registry(|limits| limits.connections_per_user = 1);
    let ada = identity("ada");
    let first = Running::new(registry.admit(HERE, Some(&ada), None).await.unwrap());
    let id = first.permit.session().clone();
    // Also in the place of one whose session does not run yet.
    let second = registry.admit(HERE, Some(&ada), Some(id.as_str())).await.unwrap();
    let third = Running::new(registry.admit(HERE, Some(&ada), Some(id.as_str())).await.unwrap());
    let second = Running::new(second);
    assert_eq!(first.told().await, [Farewell::Replaced]);
    assert_eq!(second.told().await, [Farewell::Replaced]);
    assert_eq!(registry.open_by_user(), [(user("ada"), 1)]);
    drop((first, second));
    assert_eq!(registry.open_by_user(), [(user("ada"), 1)]);
    assert!(third.told().await.is_empty());
    drop(third);
    assert!(registry.open_by_user().is_empty());
}

#[actix::test]
async fn attempts_are_counted_by_network_and_by_user() {
    let registry = registry(|limits| limits.connects_per_second = 1);
    let [near, neighbour] =
        ["2001:db8::1", "2001:db8::2"].map(|text| Attempt::Address(text.parse().unwrap()));
    assert!(registry.attempt(near).await.is_ok());
    assert!(matches!(registry.attempt(neighbour).await, Err(Refused::TooOften(_))));
    assert!(registry.attempt(Attempt::Address(HERE)).await.is_ok());
    let (ada, bob) = (user("ada"), user("bob"));
    assert!(registry.attempt(Attempt::User(&ada)).await.is_ok());
    assert!(matches!(registry.attempt(Attempt::User(&ada)).await, Err(Refused::UserTooOften(_))));
    assert!(registry.attempt(Attempt::User(&bob)).await.is_ok());
}
