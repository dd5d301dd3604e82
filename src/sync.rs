//! The primitives that our own coordination between threads is built on.
//!
//! Files that are model-checked use these instead of `std::sync`, because the checks in
//! `models/` put the primitives of loom or shuttle in their place. Everything else may use
//! `std::sync`.

pub(crate) use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread_local,
};
