use std::time::Duration;

use serde::Deserialize;

use super::read;

/// `[shedding]`: when a node refuses new work, to keep what it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shedding {
    /// At how many connections, in percent of `server.max_connections`.
    #[serde(deserialize_with = "read::percent")]
    pub connections: u8,
    /// At how many open file descriptors, in percent of those allowed.
    #[serde(deserialize_with = "read::percent")]
    pub open_files: u8,
    /// At how much resident memory.
    #[serde(deserialize_with = "read::memory_limit")]
    pub memory: MemoryLimit,
    /// How late a worker's event loop may be; zero for as late as it likes.
    #[serde(deserialize_with = "read::duration")]
    pub worker_delay: Duration,
}

/// How much memory is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Nine tenths of what the control group allows, where it allows not just any.
    Auto,
    /// None is.
    Off,
    /// So many bytes.
    Bytes(u64),
}
