use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{Secret, read};
use crate::model::Pattern;

/// `[ask]`: what a backend is asked before it is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Where it is asked; none where nothing is.
    #[serde(deserialize_with = "read::url")]
    pub url: Option<Url>,
    /// What the calls are signed with; several while one takes the place of
    /// another.
    #[serde(deserialize_with = "read::secrets")]
    pub keys: Vec<Secret>,
    /// Whether it is asked who may connect.
    #[serde(deserialize_with = "read::flag")]
    pub connect: bool,
    /// In which rooms it is asked who may join.
    pub join: Vec<Pattern>,
    /// In which rooms it is asked what may be written.
    pub publish: Vec<Pattern>,
    /// How long an answer may take, waiting for one's turn included.
    #[serde(deserialize_with = "read::period")]
    pub timeout: Duration,
    /// How many questions of this node may be open at once.
    #[serde(deserialize_with = "read::positive")]
    pub at_once: usize,
    /// What holds where there is no answer.
    pub otherwise: Otherwise,
}

/// What holds where a backend that was asked does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// It is done as if nobody had been asked.
    Allow,
    /// It is not done now.
    Deny,
}
