/// Why a token is refused, in words for people. Nothing of the token or of a
/// key is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Longer than is read.
    #[error("the token is longer than {limit} bytes")]
    TooLong {
        /// The configured limit.
        limit: usize,
    },
    /// Not three parts in Base64, or not JSON in them.
    #[error("the token is not a JSON Web Token")]
    Malformed,
    /// The header asks for something that must not be ignored.
    #[error("the token's header has `crit`: no extensions are known here")]
    Critical,
    /// An algorithm that is not configured, or has no key.
    #[error("the token's `alg` is not accepted here")]
    Algorithm,
    /// A key id that no key has.
    #[error("the token's `kid` names no key known here")]
    Key,
    /// Signed by somebody else, or changed since.
    #[error("the token's signature is not valid")]
    Signature,
    /// A claim that is missing or is not what it must be.
    #[error("the token's `{claim}` is not valid, expected {expected}")]
    Claim {
        /// Which.
        claim: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time is still to come.
    #[error("the token is not valid yet")]
    NotYet,
    /// Made for somebody else.
    #[error("the token's `aud` is not an audience accepted here")]
    Audience,
    /// Made by somebody else.
    #[error("the token's `iss` is not an issuer accepted here")]
    Issuer,
    /// Withdrawn before its time.
    #[error("the token was revoked")]
    Revoked,
}

impl AuthError {
    /// A word for metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claim { .. } => "claim",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Revoked => "revoked",
        }
    }
}
