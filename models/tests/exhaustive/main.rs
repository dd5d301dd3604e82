//! Checks of coordination; each `mod` includes a source file of the server.

mod sync {
    #[allow(unused_imports)]
    pub(crate) use loom::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread_local,
    };
    #[allow(unused_imports)]
    pub(crate) use std::sync::PoisonError;
}
