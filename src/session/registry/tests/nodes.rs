//! Two nodes: what holds for both together.

use super::{
    cluster::{Shared, node},
    *,
};

/// Two nodes that let a user have so many connections.
fn two(connections_per_user: usize) -> (Arc<Shared>, [Arc<Registry>; 2]) {
    let shared = Arc::<Shared>::default();
    shared.allow_attempts(1_000);
    let nodes = [(); 2]
        .map(|()| node(&shared, |limits| limits.connections_per_user = connections_per_user));
    (shared, nodes)
}

async fn enter(node: &Arc<Registry>, claim: Option<&SessionId>) -> Result<Running, Refused> {
    let ada = identity("ada");
    node.admit(HERE, Some(&ada), claim.map(SessionId::as_str)).await.map(Running::new)
}

#[actix::test]
async fn connections_of_a_user_are_limited_over_all_nodes() {
    let (shared, [one, two]) = two(2);
    let first = enter(&one, None).await.unwrap();
    let _second = enter(&two, None).await.unwrap();
    for node in [&one, &two] {
        assert_eq!(enter(node, None).await.err(), Some(Refused::User));
    }
    assert_eq!(one.connections() + two.connections(), 2);
    drop(first);
    assert_eq!(shared.open(), 1);
    let _third = enter(&two, None).await.unwrap();
    assert_eq!(enter(&one, None).await.err(), Some(Refused::User));
}

#[actix::test]
async fn a_claimed_id_may_be_one_over_the_limit_until_its_older_connection_is_gone() {
    let (shared, [one, two]) = two(1);
    let old = enter(&one, None).await.unwrap();
    let id = old.permit.session().clone();
    let new = enter(&two, Some(&id)).await.unwrap();
    assert_eq!(enter(&two, None).await.err(), Some(Refused::User));
    // In the place of one's own nobody is one more.
    let newest = enter(&two, Some(&id)).await.unwrap();
    assert_eq!(new.told().await, [Farewell::Replaced]);
    for order in shared.orders() {
        one.apply(&order);
        two.apply(&order);
    }
    assert_eq!(old.told().await, [Farewell::Replaced]);
    assert!(newest.told().await.is_empty());
    drop((old, new));
    assert_eq!(shared.open(), 1);
    drop(newest);
    assert_eq!(shared.open(), 0);
}

/// Of two connections that claim one id on two nodes the later order's stays,
/// whichever node hears first.
#[actix::test]
async fn of_two_claims_the_last_one_stays_on_both_nodes() {
    for hears_first in 0..2 {
        let (shared, nodes) = two(5);
        let seed = enter(&nodes[0], None).await.unwrap();
        let id = seed.permit.session().clone();
        let _other = enter(&nodes[0], None).await.unwrap();
        drop(seed);
        // Others of the user are on the first node, so the second has to order;
        // then the first finds the second's.
        let earlier = enter(&nodes[1], Some(&id)).await.unwrap();
        let later = enter(&nodes[0], Some(&id)).await.unwrap();
        let orders = shared.orders();
        assert_eq!(orders.len(), 2);
        for at in [hears_first, 1 - hears_first] {
            for order in &orders {
                nodes[at].apply(order);
            }
        }
        assert_eq!(earlier.told().await, [Farewell::Replaced]);
        assert!(later.told().await.is_empty());
    }
}

#[actix::test]
async fn three_claims_in_turn_leave_one_connection() {
    let (shared, nodes) = two(5);
    let first = enter(&nodes[0], None).await.unwrap();
    let id = first.permit.session().clone();
    let mut all = vec![first];
    // The second replaces the first on its own node while nothing was heard of
    // the other node's claim yet.
    for at in [1, 0, 1, 0, 0] {
        all.push(enter(&nodes[at], Some(&id)).await.unwrap());
    }
    for order in shared.orders() {
        for node in &nodes {
            node.apply(&order);
        }
    }
    let last = all.pop().unwrap();
    assert!(last.told().await.is_empty());
    for older in all {
        assert_eq!(older.told().await, [Farewell::Replaced]);
    }
}

#[actix::test]
async fn a_session_replaced_by_another_node_can_be_claimed_back_before_it_is_gone() {
    let (shared, [one, two]) = two(5);
    let first = enter(&one, None).await.unwrap();
    let id = first.permit.session().clone();
    let second = enter(&two, Some(&id)).await.unwrap();
    let apply_all = |from: usize| {
        let orders = shared.orders();
        for order in &orders[from..] {
            one.apply(order);
            two.apply(order);
        }
        orders.len()
    };
    let seen = apply_all(0);
    assert_eq!(first.told().await, [Farewell::Replaced]);
    // The first is told, and still there.
    let third = enter(&one, Some(&id)).await.unwrap();
    apply_all(seen);
    assert_eq!(second.told().await, [Farewell::Replaced]);
    assert!(third.told().await.is_empty());
}

#[actix::test]
async fn a_claim_that_nobody_else_can_hold_gives_no_order() {
    let (shared, [one, _]) = two(5);
    let first = enter(&one, None).await.unwrap();
    let id = first.permit.session().clone();
    let second = enter(&one, Some(&id)).await.unwrap();
    drop((first, second));
    let third = enter(&one, Some(&id)).await.unwrap();
    assert_eq!(*third.permit.session(), id);
    assert!(shared.orders().is_empty());
}

#[actix::test]
async fn orders_of_backends_reach_the_sessions_of_all_nodes_when_they_come() {
    let (shared, nodes) = two(5);
    let sessions = [enter(&nodes[0], None).await.unwrap(), enter(&nodes[1], None).await.unwrap()];
    nodes[0].order(Order::Disconnect { user: user("ada") }).await.unwrap();
    assert!(sessions[0].told().await.is_empty(), "the order did not come yet");
    for (node, session) in nodes.iter().zip(&sessions) {
        shared.orders().iter().for_each(|order| node.apply(order));
        assert_eq!(session.told().await, [Farewell::Kicked]);
    }
}

#[actix::test]
async fn a_node_that_cannot_reach_the_others_takes_nobody_new() {
    let (shared, [one, _]) = two(5);
    let first = enter(&one, None).await.unwrap();
    shared.set_away(true);
    assert_eq!(enter(&one, None).await.err(), Some(Refused::Unreachable));
    assert_eq!(one.connections(), 1, "what was refused is not counted");
    assert!(one.order(Order::Disconnect { user: user("ada") }).await.is_err());
    assert!(first.told().await.is_empty());
    // A connection in the place of one that is here is not new.
    let again = enter(&one, Some(&first.permit.session().clone())).await.unwrap();
    assert_eq!(first.told().await, [Farewell::Replaced]);
    shared.set_away(false);
    assert!(again.told().await.is_empty());
    assert!(enter(&one, None).await.is_ok());
}

#[actix::test]
async fn attempts_are_counted_over_all_nodes_and_here_alone_where_the_others_are_away() {
    let (shared, [one, two]) = two(5);
    shared.allow_attempts(2);
    let ada = user("ada");
    assert!(one.attempt(Attempt::Address(HERE)).await.is_ok());
    assert!(two.attempt(Attempt::User(&ada)).await.is_ok());
    assert!(matches!(one.attempt(Attempt::Address(HERE)).await, Err(Refused::TooOften(_))));
    assert!(matches!(two.attempt(Attempt::User(&ada)).await, Err(Refused::UserTooOften(_))));
    shared.set_away(true);
    assert!(one.attempt(Attempt::Address(HERE)).await.is_ok());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Nodes hear of orders late and not together, connections end by
    /// themselves: the newest of those that claimed one id stays, alone.
    #[test]
    fn of_any_claims_the_newest_stays_alone(steps in proptest::collection::vec(0..8_usize, 1..40)) {
        actix::System::new().block_on(async {
            let (shared, nodes) = two(1_000);
            let first = enter(&nodes[0], None).await.unwrap();
            let id = first.permit.session().clone();
            let mut held = vec![first];
            let mut heard = [0; 2];
            for step in steps {
                match step {
                    0..4 => held.push(enter(&nodes[step % 2], Some(&id)).await.unwrap()),
                    4..7 => {
                        let at = step % 2;
                        if let Some(order) = shared.orders().get(heard[at]) {
                            nodes[at].apply(order);
                            heard[at] += 1;
                        }
                    }
                    _ if held.len() > 1 => drop(held.remove(0)),
                    _ => {}
                }
            }
            for (node, heard) in nodes.iter().zip(heard) {
                shared.orders()[heard..].iter().for_each(|order| node.apply(order));
            }
            let newest = held.pop().unwrap();
            assert!(newest.told().await.is_empty());
            for older in held {
                assert_eq!(older.told().await, [Farewell::Replaced]);
            }
        });
    }
}
