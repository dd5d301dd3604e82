//! Tokens that the measured servers accept.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

/// What the tokens are signed with. The servers are told, and live for seconds.
pub(crate) const SECRET: &str = "a secret for servers that only live for a benchmark";

/// How long the tokens hold, in seconds.
const TTL: u64 = 3600;

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: u64,
}

/// A token for the user.
pub(crate) fn mint(user: &str) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
    let claims = Claims { sub: user, exp: now + TTL };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).context("signing a token")
}
