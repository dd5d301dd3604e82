//! Several nodes over one Redis: that they are as one, and what becomes of them
//! when Redis, the network or one of them fails. Each test has servers of its own.

mod listener;
mod pair;
mod traffic;

// Nothing fails.
mod connections;
mod credentials;
mod inboxes;
mod messages;
mod people;
// Something fails, and comes back.
mod damage;
mod death;
mod failover;
mod loss;
mod outage;
mod revocations;
mod shards;
mod subscription_churn;
mod subscriptions;

use crate::harness::{Endpoint, eventually};

/// Waits until `/readyz` says that the node's broker works, or that it does not.
async fn until_ready(node: &Endpoint, ready: bool) {
    eventually(if ready { "a ready node" } else { "a node that is not ready" }, async || {
        let answer = node.get("/readyz").await;
        let health = answer.json();
        if answer.status == 200 {
            assert_eq!(
                (&health["broker"]["ok"], &health["broker"]["kind"]),
                (&true.into(), &"redis".into())
            );
        }
        let as_wanted = (answer.status == 200) == ready && health["broker"]["ok"] == ready;
        as_wanted.then_some(())
    })
    .await;
}
