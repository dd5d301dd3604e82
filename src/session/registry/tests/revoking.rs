//! Orders of backends, on the node that gives them.

use super::*;
use crate::auth::AuthError;

async fn connect(registry: &Arc<Registry>, identity: &Identity) -> Running {
    Running::new(registry.admit(HERE, Some(identity), None).await.unwrap())
}

fn of_user(name: &str, issued_until: Timestamp) -> Order {
    let tokens = Tokens::OfUser { user: user(name), issued_until };
    Order::Revoke(Revocation { tokens, until: Timestamp::MAX })
}

fn named(id: &str) -> Order {
    Order::Revoke(Revocation { tokens: Tokens::Named(id.into()), until: Timestamp::MAX })
}

#[actix::test]
async fn a_disconnect_ends_the_user_s_sessions_and_no_others() {
    let registry = registry(|_| {});
    let [first, second, other] = [
        connect(&registry, &identity("ada")).await,
        connect(&registry, &identity("ada")).await,
        connect(&registry, &identity("bob")).await,
    ];
    registry.order(Order::Disconnect { user: user("ada") }).await.unwrap();
    assert_eq!(first.told().await, [Farewell::Kicked]);
    assert_eq!(second.told().await, [Farewell::Kicked]);
    assert!(other.told().await.is_empty());
    // It may come back.
    assert!(connect(&registry, &identity("ada")).await.told().await.is_empty());
}

#[actix::test]
async fn who_is_sent_away_while_connecting_goes_as_soon_as_it_runs() {
    let registry = registry(|_| {});
    let permit = registry.admit(HERE, Some(&identity("ada")), None).await.unwrap();
    registry.apply(&Order::Disconnect { user: user("ada") });
    assert_eq!(Running::new(permit).told().await, [Farewell::Kicked]);
}

#[actix::test]
async fn a_revocation_ends_the_sessions_of_its_tokens_and_lets_them_in_no_more() {
    let registry = registry(|_| {});
    let (old, new) = (identity("ada"), issued("ada", Some(2_000), None));
    let first = connect(&registry, &old).await;
    let second = connect(&registry, &new).await;
    registry.order(of_user("ada", 1_999)).await.unwrap();
    registry.order(Order::Disconnect { user: user("ada") }).await.unwrap();
    assert_eq!(first.told().await, [Farewell::TokenRevoked]);
    assert_eq!(second.told().await, [Farewell::Kicked]);
    assert!(registry.is_revoked(&old) && !registry.is_revoked(&new));
    // It was verified before, and comes to be admitted after.
    assert_eq!(registry.admit(HERE, Some(&old), None).await.err(), Some(Refused::Revoked));
}

#[actix::test]
async fn a_session_counts_by_the_token_of_its_last_refresh() {
    let registry = registry(|_| {});
    let [first, second] = ["t-1", "t-2"].map(|id| issued("ada", Some(1), Some(id)));
    let session = connect(&registry, &first).await;
    session.permit.renew(&second).unwrap();
    registry.order(named("t-1")).await.unwrap();
    assert!(session.told().await.is_empty());
    assert_eq!(session.permit.renew(&first), Err(AuthError::Revoked));
    registry.order(named("t-2")).await.unwrap();
    assert_eq!(session.told().await, [Farewell::TokenRevoked]);
}
