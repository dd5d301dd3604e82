//! Token → identity → grants: who somebody is, and what they may do.
//!
//! [`Verifier`] accepts tokens, [`Minter`] signs them. Which algorithms count
//! is decided by the configuration and by the kind of each key, never by a
//! token.

mod claims;
mod error;
mod keys;
mod lead;
mod minter;
#[cfg(test)]
mod tests;
mod verifier;

pub use error::AuthError;
pub use minter::{GuestToken, MintError, Minter, NewToken};
pub use verifier::Verifier;

pub use crate::model::{Action, Grants};

use std::sync::Arc;

use crate::model::{Profile, Timestamp};

/// Who somebody is, and what they may do, as a verified token says.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user and what it shows of itself.
    pub profile: Arc<Profile>,
    /// What is allowed; the configuration's default where the token is silent.
    pub grants: Arc<Grants>,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
    /// When the token was made.
    pub issued_at: Option<Timestamp>,
    /// Whether the token is one of the guest login's.
    pub guest: bool,
    /// The token's own name, its `jti`.
    pub token_id: Option<Arc<str>>,
}

/// Chooses the implementation of the signature algorithms. `jsonwebtoken`
/// finds its only one by itself, unless another crate of the build turns on a
/// second one: then it would panic at first use.
fn choose_provider() {
    // An error says that it was chosen before.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
