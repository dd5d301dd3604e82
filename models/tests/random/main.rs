//! Many random schedules of longer runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a check fails by a panic"
)]

mod delivery;
#[path = "../../../src/broker/wake_queue.rs"]
mod wake_queue;

/// Stands in for the server's `src/sync.rs`.
mod sync {
    pub(crate) use shuttle::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread_local,
    };
    pub(crate) use std::sync::PoisonError;
}

#[allow(dead_code)]
#[path = "../../../src/broker/redis/reconciler.rs"]
mod reconciler;
#[allow(dead_code)]
#[path = "../../../src/broker/redis/subscription_table.rs"]
mod subscription_table;
mod subscriptions;
