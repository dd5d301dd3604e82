//! Every schedule of a few steps, weak memory orderings included.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a check fails by a panic")]

mod delivery;
#[path = "../../../src/broker/wake_queue.rs"]
#[expect(dead_code, reason = "the server uses more of it than this check")]
mod wake_queue;

/// Stands in for the server's `src/sync.rs`.
mod sync {
    pub(crate) use loom::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread_local,
    };
    pub(crate) use std::sync::PoisonError;
}
