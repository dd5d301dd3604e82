use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::model::{Current, Seq, StateEntry};

/// The shared state of a room: keys with their values, each under the `seq` of
/// its last write.
#[derive(Debug, Default)]
pub(super) struct State {
    entries: IndexMap<Arc<str>, Held, ahash::RandomState>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    value: Arc<RawValue>,
    version: Seq,
}

impl State {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        /// A key and its place in the map, besides the text.
        const KEY: usize = 128;
        self.bytes + self.entries.len() * KEY
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What a compare-and-set compares with.
    pub(super) fn current(&self, key: &str) -> Current {
        match self.entries.get(key) {
            Some(held) => Current { value: Some(held.value.clone()), version: held.version },
            None => Current { value: None, version: 0 },
        }
    }

    /// Whether the write would keep the state within so many keys and bytes.
    pub(super) fn has_room(
        &self,
        key: &str,
        value: Option<&RawValue>,
        keys: usize,
        bytes: usize,
    ) -> bool {
        let Some(value) = value else { return true };
        match self.entries.get(key) {
            Some(held) => self.bytes - held.value.get().len() + value.get().len() <= bytes,
            None => {
                self.entries.len() < keys && self.bytes + key.len() + value.get().len() <= bytes
            }
        }
    }

    /// Writes, or deletes where there is no value.
    pub(super) fn set(&mut self, key: &Arc<str>, value: Option<Arc<RawValue>>, version: Seq) {
        if let Some(old) = self.entries.swap_remove(key) {
            self.bytes -= key.len() + old.value.get().len();
        }
        if let Some(value) = value {
            self.bytes += key.len() + value.get().len();
            self.entries.insert(key.clone(), Held { value, version });
        }
    }

    /// All of it.
    pub(super) fn entries(&self) -> Vec<StateEntry> {
        let entry = |(key, held): (&Arc<str>, &Held)| StateEntry {
            key: key.clone(),
            value: held.value.clone(),
            version: held.version,
        };
        self.entries.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Arc<RawValue> {
        Arc::from(RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn the_last_write_wins_and_a_deleted_key_is_gone() {
        let mut state = State::default();
        let key: Arc<str> = "k".into();
        state.set(&key, Some(raw("1")), 4);
        state.set(&key, Some(raw("22")), 7);
        assert_eq!((state.current("k").version, state.bytes), (7, 3));
        state.set(&key, None, 9);
        assert_eq!((state.current("k").version, state.bytes), (0, 0));
        assert!(state.is_empty());
    }

    #[test]
    fn bounds_count_keys_and_bytes_but_never_hinder_a_delete() {
        let mut state = State::default();
        state.set(&"a".into(), Some(raw("123")), 1);
        assert!(state.has_room("a", Some(&raw("12345678")), 1, 10), "a key that is there");
        assert!(!state.has_room("b", Some(&raw("1")), 1, 10), "one key too many");
        assert!(!state.has_room("a", Some(&raw("1234567890")), 2, 10), "bytes too many");
        assert!(state.has_room("a", None, 0, 0));
    }
}
