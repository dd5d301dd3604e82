use serde::Deserialize;

use super::read;

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or levels by module as in `info,rookery=debug`.
    #[serde(deserialize_with = "read::log_filter")]
    pub level: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of what is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A line with an object of JSON.
    Json,
}
