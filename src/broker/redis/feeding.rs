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
        ctx.spawn(making.into_actor(self).map(move |feeds, act, ctx| {
            act.feed = State::Made(made);
            let Ok((feeds, subscribed)) = feeds else { return act.make_feeds_later(ctx) };
            let feeds = Arc::new(feeds);
            if let Some(feeder) = act.feeder.take() {
                ctx.cancel_future(feeder);
            }
            act.feeds = Some(feeds.clone());
            let node = act.node.clone();
            // What was wished meanwhile may have been taken by the one before.
            node.wishes.notify_one();
            let seeing = async move { feeds.see_to_wishes(&node).await };
            act.feeder = Some(ctx.spawn(seeing.into_actor(act)));
            act.catch_up(made, &subscribed, ctx);
        }));
    }

    /// What was published while nothing was heard is found in the logs.
    fn catch_up(&mut self, made: u64, channels: &[Arc<str>], ctx: &mut Context<Self>) {
        let node = self.node.clone();
        let again = node.condition.resubscriptions.fetch_add(1, Ordering::Relaxed) > 0;
        let rooms = node.table().rooms(channels);
        let count = rooms.len();
        let compared = async move { node.compare_all(rooms).await };
        ctx.spawn(compared.into_actor(self).map(move |all, act, ctx| {
            if act.feed != State::Made(made) {
                return;
            }
            if !all || act.feeds_due || !act.feeds.as_ref().is_some_and(|it| it.are_whole()) {
                return act.make_feeds_later(ctx);
            }
            act.feed_failures = 0;
            act.node.condition.fed.store(true, Ordering::Release);
            if again {
                info!("{count} rooms are heard again");
            }
        }));
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
