//! A node that is near its limits refuses new work, and so keeps what it has: who is
//! connected goes on being served.
//!
//! [`Shedding`] is what is shed for now, for all who let somebody in or take
//! something on. [`Judge`] decides, from what is read of the process twice a second.
//! Between the bound at which shedding begins and the one at which it ends there is
//! room, so that a node does not waver.

mod judge;
mod watch;

pub use judge::{Judge, Reading};
pub use watch::watch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a node has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Connections.
    Connections,
    /// Open file descriptors.
    OpenFiles,
    /// Memory.
    Memory,
    /// A worker's event loop is late: there is more to do than can be done.
    WorkerDelay,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::Connections, Self::OpenFiles, Self::Memory, Self::WorkerDelay];

    /// A word for metrics and probes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::OpenFiles => "open_files",
            Self::Memory => "memory",
            Self::WorkerDelay => "worker_delay",
        }
    }
}

/// Why a node sheds load, if it does.
#[derive(Debug)]
pub struct Shedding {
    causes: [AtomicBool; Cause::ALL.len()],
    /// At how many connections the file descriptors are too many.
    connections_by_files: AtomicUsize,
}

impl Default for Shedding {
    /// For no cause.
    fn default() -> Self {
        Self { causes: Default::default(), connections_by_files: AtomicUsize::new(usize::MAX) }
    }
}

impl Shedding {
    /// Whether it is for this cause.
    pub fn is_for(&self, cause: Cause) -> bool {
        self.flag(cause).is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// It is, or is no more, for this cause.
    pub fn set(&self, cause: Cause, sheds: bool) {
        if let Some(flag) = self.flag(cause) {
            flag.store(sheds, Ordering::Relaxed);
        }
    }

    /// All causes that it is for.
    pub fn causes(&self) -> impl Iterator<Item = Cause> {
        Cause::ALL.into_iter().filter(|cause| self.is_for(*cause))
    }

    /// Why one more connection is not let in, beside so many. That these are not
    /// too many themselves, the registry sees to.
    pub fn refuses_connection(&self, connections: usize) -> Option<Cause> {
        if connections >= self.connections_by_files.load(Ordering::Relaxed) {
            return Some(Cause::OpenFiles);
        }
        self.causes().find(|cause| *cause != Cause::Connections)
    }

    /// Why nothing more is written by backends. A call is no connection for long.
    pub fn refuses_write(&self) -> Option<Cause> {
        [Cause::Memory, Cause::WorkerDelay].into_iter().find(|cause| self.is_for(*cause))
    }

    /// Between two looks at the file descriptors, each connection counts for one.
    fn set_connections_by_files(&self, most: usize) {
        self.connections_by_files.store(most, Ordering::Relaxed);
    }

    fn flag(&self, cause: Cause) -> Option<&AtomicBool> {
        self.causes.get(cause as usize)
    }
}
