//! Checks of coordination; each `mod` includes a source file of the server.

// A check says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod sync {
    #[allow(unused_imports)]
    pub(crate) use shuttle::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread_local,
    };
    #[allow(unused_imports)]
    pub(crate) use std::sync::PoisonError;
}

#[allow(dead_code)]
#[path = "../../../src/broker/redis/reconciler.rs"]
mod reconciler;
#[allow(dead_code)]
#[path = "../../../src/broker/redis/subscription_table.rs"]
mod subscription_table;
mod subscriptions;
