//! The comparison of the channels that this node takes for subscribed with those that Redis
//! has for its connections, all the time, a slice each second.
//!
//! Subscribing a channel again changes nothing, and the confirmation tells how many channels
//! the connection has. One more than before, and Redis did not have the channel. When all
//! channels were compared and Redis has more of them than the node knows, Redis is asked for
//! their names, and those that the node does not know are unsubscribed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ahash::AHashMap;
use log::{debug, warn};
use redis::{RedisResult, cmd};
use tokio::time::{Instant, sleep_until};

use super::{
    feed::{Feeds, OwnedFeed},
    node::Node,
    reconciler::{BATCH_CHANNELS, SubscribingConnection},
    subscription_table::{ConnectionId, Verb},
};

/// How often a slice of the channels is compared.
const SLICE_PERIOD: Duration = Duration::from_secs(1);

/// In so many slices all channels are compared, unless they become too large.
const SLICES: usize = 10;

/// The largest slice: four commands, answered with about 100 KiB.
const MAX_SLICE_CHANNELS: usize = 4 * BATCH_CHANNELS;

/// How long after Redis was asked for the names of all channels it is not asked again.
const NAMES_PAUSE: Duration = Duration::from_secs(60);

/// One pass through the channels of a connection.
#[derive(Default)]
struct Round {
    left: Vec<Arc<str>>,
    slice: usize,
    /// When Redis was last asked for the names of all channels. With many nodes that is a long
    /// list.
    named_at: Option<Instant>,
}

impl Feeds {
    /// Keeps the feeds at what is wanted, for as long as it is let. May be dropped at any
    /// moment.
    pub(super) async fn tend(&self, node: &Node) {
        let mut rounds = AHashMap::<ConnectionId, Round>::new();
        let mut due = Instant::now() + SLICE_PERIOD;
        loop {
            tokio::select! {
                () = node.wishes.notified() => self.settle(node).await,
                () = sleep_until(due) => {
                    self.settle(node).await;
                    for owned in self.alive() {
                        let round = rounds.entry(owned.id()).or_default();
                        if let Err(error) = compare_slice(node, &owned, round).await {
                            warn!("subscribing failed: {error}");
                            owned.feed.fail(node);
                        }
                    }
                    due = Instant::now() + SLICE_PERIOD;
                }
            }
        }
    }
}

/// Compares the next slice. Not while `reconcile` runs for the connection.
async fn compare_slice(node: &Node, owned: &OwnedFeed<'_>, round: &mut Round) -> RedisResult<()> {
    if round.left.is_empty() {
        round.left = node.table().as_mut().held_by(owned.id());
        round.slice = round.left.len().div_ceil(SLICES).clamp(1, MAX_SLICE_CHANNELS);
    }
    let before = node.condition.lost_repairs.load(Ordering::Relaxed);
    let mut slice = round.left.split_off(round.left.len().saturating_sub(round.slice));
    node.table().as_mut().retain_held(&mut slice, owned.id());
    owned.command(Verb::Subscribe, &slice).await?;
    let restored = node.condition.lost_repairs.load(Ordering::Relaxed) - before;
    if restored > 0 {
        // The bridge compares the rooms with their logs at its next tick.
        node.warn_of_repair(format_args!(
            "Redis had lost subscriptions of this node: subscribed again (channels={restored})"
        ));
    }
    if round.left.is_empty() && round.named_at.is_none_or(|at| at.elapsed() >= NAMES_PAUSE) {
        drop_unwanted(node, owned, round).await?;
    }
    Ok(())
}

/// Unsubscribes what Redis has for the connection and the node does not know.
async fn drop_unwanted(node: &Node, owned: &OwnedFeed<'_>, round: &mut Round) -> RedisResult<()> {
    let Some(known) = node.table().as_mut().count_held_by(owned.id()) else { return Ok(()) };
    let has = owned.feed.room_channel_count(owned.masters, owned.number);
    if has.is_none_or(|has| has <= known) {
        return Ok(());
    }
    round.named_at = Some(Instant::now());
    let sharded = owned.masters.is_cluster();
    let mut names = cmd("PUBSUB");
    names.arg(if sharded { "SHARDCHANNELS" } else { "CHANNELS" }).arg(node.names.channels());
    let names: Vec<String> = match names.query_async(&mut owned.feed.connection.clone()).await {
        Ok(names) => names,
        Err(error) if error.is_io_error() => return Err(error),
        Err(error) => {
            node.warn_of_repair(format_args!(
                "Redis has subscriptions of this node that nobody wants, and does not name them: \
                 {error}"
            ));
            return Ok(());
        }
    };
    // Those of other nodes are among them; unsubscribing them here changes nothing.
    let unwanted: Vec<Arc<str>> = {
        let mut table = node.table();
        let unwanted = names.iter().filter(|name| !table.as_mut().knows(name));
        unwanted.map(|name| Arc::from(name.as_str())).collect()
    };
    let before = node.condition.unwanted_repairs.load(Ordering::Relaxed);
    for some in unwanted.chunks(BATCH_CHANNELS) {
        // One may be wanted by now. `knows` covers it again, and a subscription that is under
        // way comes behind this command.
        owned.command(Verb::Unsubscribe, some).await?;
    }
    let dropped = node.condition.unwanted_repairs.load(Ordering::Relaxed) - before;
    if dropped > 0 {
        node.warn_of_repair(format_args!(
            "Redis had subscriptions of this node that nobody wants: unsubscribed \
             (channels={dropped})"
        ));
    } else {
        debug!("Redis has {has:?} channels for a connection that knows {known}");
    }
    Ok(())
}
