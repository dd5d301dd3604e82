use std::fmt;

use serde::Deserialize;

use super::read;

/// `[broker]`: what joins the nodes of a cluster.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Where the broker is; empty for the one built in.
    #[serde(deserialize_with = "read::text")]
    pub url: String,
    /// About how many bytes the broker built in may hold; past that it takes no
    /// more writes and no more rooms until older ones are over their time.
    #[serde(deserialize_with = "read::memory")]
    pub memory: usize,
}

impl Broker {
    /// What of the address may be shown: user, password and parameters are not.
    pub(super) fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let place = place.split('?').next().unwrap_or_default();
        format!("{scheme}://{place}")
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("url", &self.shown()).field("memory", &self.memory).finish()
    }
}
