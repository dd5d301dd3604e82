use std::sync::Arc;

use serde_json::value::RawValue;

use super::Seq;

/// One key of a room's shared state.
#[derive(Debug, Clone)]
pub struct StateEntry {
    /// The key.
    pub key: Arc<str>,
    /// Its value; a deleted key has no entry.
    pub value: Arc<RawValue>,
    /// The `seq` of the key's last write.
    pub version: Seq,
}
