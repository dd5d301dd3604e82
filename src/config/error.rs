use std::path::Path;

use serde_path_to_error::{Path as KeyPath, Segment};
use toml::Value;

use super::secret::{HIDDEN, is_hidden, without_credentials};

/// Why the configuration cannot be used: one line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that does not fit.
    #[error("{key}: got {got}, expected {expected}")]
    Value {
        /// The key, as in `heartbeat.interval`.
        key: String,
        /// The value, as far as it may be shown.
        got: String,
        /// What would have been fine.
        expected: String,
    },
    /// A file that cannot be read, or is not TOML.
    #[error("{file}: {cause}")]
    File {
        /// The file, with the line where there is one.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ConfigError {
    /// `key` holds `got` where something else is expected.
    pub fn value(
        key: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Value { key: key.into(), got: got.into(), expected: expected.into() }
    }

    /// There is no key of this name, only `known` ones.
    pub(super) fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
        Self::value(key, "an unknown key", format!("one of {known}"))
    }

    /// `file` could not be read.
    pub(super) fn unreadable(file: &Path, cause: &std::io::Error) -> Self {
        Self::File { file: file.display().to_string(), cause: cause.to_string() }
    }

    /// `text`, found in `file`, is not TOML. What stands in the line is not
    /// shown: it may be a secret.
    pub(super) fn not_toml(file: &str, text: &str, cause: &toml::de::Error) -> Self {
        let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Self::File { file: format!("{file}:{line}"), cause: one_line(cause.message()) }
    }

    /// A value within `root` is not what its field expects.
    pub(super) fn mismatch(
        error: &serde_path_to_error::Error<toml::de::Error>,
        root: &Value,
    ) -> Self {
        let message = error.inner().message();
        let expected = match message.rsplit_once(", expected ") {
            Some((_, expected)) => expected.to_owned(),
            None => message.replace("missing field", "the key"),
        };
        let key = error.path().to_string();
        let got = match find(root, error.path()) {
            _ if message.starts_with("unknown field") => "an unknown key".to_owned(),
            Some(Value::String(url)) if key == "broker.url" => {
                shown(&without_credentials(url).into())
            }
            Some(value) if !is_hidden(&key) => shown(value),
            _ => HIDDEN.to_owned(),
        };
        Self::Value { key, got, expected: one_line(&expected) }
    }

    /// The same, naming the variable the value came from, if it came from one.
    pub(super) fn naming_variable(self, name: impl FnOnce(&str) -> Option<String>) -> Self {
        let variable = match &self {
            Self::Value { key, .. } => name(key),
            Self::File { .. } => None,
        };
        match variable {
            Some(variable) => self.set_by(&variable),
            None => self,
        }
    }

    /// The same, of a value that came from the variable.
    pub(super) fn set_by(self, variable: &str) -> Self {
        match self {
            Self::Value { key, got, expected } => {
                Self::Value { key, got: format!("{got} (from {variable})"), expected }
            }
            file @ Self::File { .. } => file,
        }
    }
}

fn find<'a>(root: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// A value as it may stand in a line of its own: short, and without breaks.
fn shown(value: &Value) -> String {
    const SHOWN: usize = 80;
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        other => one_line(&other.to_string()),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
