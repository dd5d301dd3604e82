//! How the bridge runs what may panic: a defect costs the task in which it shows, and never
//! the bridge, nor a flag that says that the task is under way.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::prelude::*;
use futures_util::future::FutureExt;
use log::error;

use super::bridge::RedisBridge;

impl RedisBridge {
    /// Runs a future to its end, and then `then` with its output, or with `None` after a
    /// panic. So whatever the caller noted as under way is always cleared, unless the caller
    /// cancels the future.
    pub(super) fn run<T: 'static>(
        &self,
        ctx: &mut Context<Self>,
        future: impl Future<Output = T> + 'static,
        then: impl FnOnce(&mut Self, Option<T>, &mut Context<Self>) + 'static,
    ) -> SpawnHandle {
        let output = AssertUnwindSafe(future).catch_unwind().map(Result::ok);
        ctx.spawn(output.into_actor(self).map(move |output, act, ctx| {
            if output.is_none() {
                error!("a task of the bridge to Redis ended by a panic");
            }
            act.guarded(ctx, |act, ctx| then(act, output, ctx));
        }))
    }

    /// A defect that shows as a panic costs what it showed in, and not the bridge.
    pub(super) fn guarded(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        let done = catch_unwind(AssertUnwindSafe(|| act(self, ctx)));
        if done.is_err() {
            error!("a task of the bridge to Redis was given up after a panic");
        }
    }
}
