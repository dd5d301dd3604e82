//! Redis with Sentinel: a replica takes the master's place.

use super::{
    pair::{Pair, USERS},
    until_ready,
};
use crate::harness::{Sentinels, nodes};

#[tokio::test]
async fn the_master_dies_under_traffic_and_nothing_acknowledged_is_lost() {
    let mut sentinels = Sentinels::start().await;
    let [one, two] = nodes(&sentinels.url()).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    let master = sentinels.master().await;
    sentinels.servers[master].kill();
    sentinels.failed_over(master).await;
    pair.goes_on(20).await;
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    // A message that was heard and not yet acknowledged may be lost: then, and
    // only then, the log begins a new life. `end` looks for all that was.
    for heard in pair.end().await {
        assert!(heard.new_epochs() <= 1);
        heard.assert_nobody_left(&USERS);
    }
}
