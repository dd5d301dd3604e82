use super::Answer;
use crate::cluster::Revocation;

/// Where revocations outlive the process.
pub trait RevocationStore: Send + Sync {
    /// All that were there when the process began, those that are over among them.
    /// To be called once.
    fn load(&self) -> Vec<Revocation>;

    /// Keeps one more, as one with what is kept of the same token or user, and lets
    /// go of others, but for those that were kept for longer since. All of it is done
    /// when this resolves.
    fn update(&self, kept: Option<Revocation>, gone: Vec<Revocation>) -> Answer<'_, ()>;
}
