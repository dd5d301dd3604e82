use std::{path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::{Secret, read};
use crate::model::{Grants, Timestamp};

/// `[auth]`: which tokens are accepted, and what they allow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// What HS256, HS384 and HS512 tokens are signed with; none stands for a
    /// random one, made at start.
    #[serde(deserialize_with = "read::secret")]
    pub secret: Option<Secret>,
    /// The signature algorithms accepted, whatever a token asks for.
    #[serde(deserialize_with = "read::algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// A PEM file with one public key.
    #[serde(deserialize_with = "read::path")]
    pub public_key_file: Option<PathBuf>,
    /// A file with a JSON Web Key Set.
    #[serde(deserialize_with = "read::path")]
    pub jwks_file: Option<PathBuf>,
    /// The audiences of which a token must name one; empty for any.
    #[serde(deserialize_with = "read::texts")]
    pub audience: Vec<String>,
    /// The issuers of which a token must name one; empty for any.
    #[serde(deserialize_with = "read::texts")]
    pub issuer: Vec<String>,
    /// Whether a token without `exp` is refused.
    #[serde(deserialize_with = "read::flag")]
    pub require_exp: bool,
    /// How far the issuer's clock may be ahead, for `nbf` and `iat`; `exp` has
    /// no leeway.
    #[serde(deserialize_with = "read::duration")]
    pub leeway: Duration,
    /// Longer tokens are refused unread.
    #[serde(deserialize_with = "read::token_bytes")]
    pub token_bytes: usize,
    /// Whether anyone may have a guest's token.
    pub guest: Guest,
    /// How long a guest's token holds.
    #[serde(deserialize_with = "read::period")]
    pub guest_ttl: Duration,
    /// How long a revocation is remembered: as long as the longest token holds.
    #[serde(deserialize_with = "read::period")]
    pub revoke_for: Duration,
    /// What tokens without `grants` allow.
    pub default_grants: Grants,
}

impl Auth {
    /// Until when a revocation made at the time `now` is remembered.
    pub fn revoked_until(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(u64::try_from(self.revoke_for.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Whether anyone may have a guest's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guest {
    /// Where every address listened on is this machine's own.
    Auto,
    /// Anywhere.
    On,
    /// Nowhere.
    Off,
}
