//! When the feeds are made: after a connection, and again when one of them is of
//! no use.

use std::sync::{Arc, atomic::Ordering};

use actix::prelude::*;
use log::info;

use super::{
    bridge::{RedisBridge, State, backoff},
    feed::Feeds,
};
use crate::broker::Unavailable;

impl RedisBridge {
    /// Makes the feeds after the first beat of a connection.
    pub(super) fn make_feeds_if_due(&mut self, ctx: &mut Context<Self>) {
        if std::mem::take(&mut self.feeds_due) {
            self.make_feeds(ctx);
        }
    }

    /// Makes the feeds that do not work, where there is a connection to ask who
    /// is a master.
    pub(super) fn make_feeds(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.link, State::Made(_)) || matches!(self.feed, State::Making(_)) {
            self.feeds_due = true;
            return;
        }
        let made = self.next_try();
        self.feed = State::Making(made);
        self.feeds_due = false;
        self.node.condition.fed.store(false, Ordering::Release);
        let (node, earlier) = (self.node.clone(), self.feeds.clone());
        // Of many failures in a row, the first is told.
        let loud = self.feed_failures <= 1;
        let making = async move {
            // However many rooms there are: each step has its own bound in time.
            let masters = node.masters().await?;
            Ok::<_, Unavailable>(Feeds::make(&node, masters, earlier.as_deref(), loud).await)
        };
        self.run(ctx, making, move |act, feeds, ctx| match feeds {
            Some(Ok(feeds)) => act.tend_feeds(made, Arc::new(feeds), ctx),
            _ => {
                act.feed = State::Made(made);
                act.make_feeds_later(ctx);
            }
        });
    }

    /// Puts new feeds in the place of those before, and keeps them at what is wanted. They
    /// count as made when all that is wanted was subscribed, or a feed failed.
    fn tend_feeds(&mut self, made: u64, feeds: Arc<Feeds>, ctx: &mut Context<Self>) {
        // Cancelled at any moment: the table knows what is still to be done.
        if let Some(feeder) = self.feeder.take() {
            ctx.cancel_future(feeder);
        }
        feeds.take_over(&self.node, self.feeds.as_deref());
        self.feeds = Some(feeds.clone());
        let (node, bridge) = (self.node.clone(), ctx.address());
        let tending = async move {
            feeds.settle(&node).await;
            bridge.do_send(FeedsSettled { made });
            feeds.tend(&node).await;
        };
        self.feeder = Some(self.run(ctx, tending, move |act, _, ctx| {
            // It ends by a panic alone.
            if matches!(act.feed, State::Making(it) | State::Made(it) if it == made) {
                act.feed = State::Made(made);
                act.make_feeds_later(ctx);
            }
        }));
    }

    /// What was published while nothing was heard is found in the logs.
    fn catch_up(&mut self, made: u64, ctx: &mut Context<Self>) {
        let node = self.node.clone();
        let again = node.condition.resubscriptions.fetch_add(1, Ordering::Relaxed) > 0;
        let rooms = node.table().missed();
        let count = rooms.len();
        let compared = async move { node.compare_all(rooms).await };
        self.run(ctx, compared, move |act, all, ctx| {
            if act.feed != State::Made(made) {
                return;
            }
            let all = all.unwrap_or(false);
            if !all || act.feeds_due || !act.feeds.as_ref().is_some_and(|it| it.are_whole()) {
                return act.make_feeds_later(ctx);
            }
            act.feed_failures = 0;
            act.node.condition.fed.store(true, Ordering::Release);
            if again {
                info!("{count} rooms are heard again");
            }
        });
    }

    /// Makes the feeds: at once, then after growing pauses.
    fn make_feeds_later(&mut self, ctx: &mut Context<Self>) {
        self.node.condition.fed.store(false, Ordering::Release);
        let failures = self.feed_failures;
        self.feed_failures = failures.saturating_add(1);
        if failures == 0 {
            return self.make_feeds(ctx);
        }
        let State::Made(made) = self.feed else { return };
        ctx.run_later(backoff(failures), move |act, ctx| {
            if act.feed == State::Made(made) {
                act.make_feeds(ctx);
            }
        });
    }
}

/// The feeds that were made by this try hold what is wanted, or failed.
#[derive(Message)]
#[rtype(result = "()")]
struct FeedsSettled {
    made: u64,
}

impl Handler<FeedsSettled> for RedisBridge {
    type Result = ();

    fn handle(&mut self, FeedsSettled { made }: FeedsSettled, ctx: &mut Self::Context) {
        if self.feed == State::Making(made) {
            self.feed = State::Made(made);
            self.guarded(ctx, |act, ctx| act.catch_up(made, ctx));
        }
    }
}
