//! What is accepted, and above all what is not.

mod claims;
mod forged;
mod keys;
mod minted;
mod signer;

use serde_json::{Value, json};

use super::*;
use crate::config::Settings;
use jsonwebtoken::{EncodingKey, Header, encode};
use signer::{KeyFile, Signer};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// A time in the middle of things, in milliseconds.
const NOW: Timestamp = 1_700_000_000_500;

/// The same, in the seconds of a token.
const SECONDS: u64 = 1_700_000_000;

/// A verifier of what `[auth]` says in `toml`.
fn verifier(toml: &str) -> Verifier {
    Verifier::new(&Settings::from_toml(&format!("[auth]\n{toml}")).unwrap().auth).unwrap()
}

fn with_secret(toml: &str) -> Verifier {
    verifier(&format!("secret = \"{SECRET}\"\n{toml}"))
}

/// Claims that are accepted, changed by `changes`; null takes a claim out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": SECONDS + 60});
    for (claim, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(claim),
            value => claims.as_object_mut().unwrap().insert(claim.clone(), value.clone()),
        };
    }
    claims
}

/// Why `token` is refused; with a message that shows nothing of it.
fn refused(verifier: &Verifier, token: &str) -> &'static str {
    let error =
        verifier.verify(token, NOW).map(|identity| identity.profile.user.clone()).unwrap_err();
    let message = error.to_string();
    for part in token.split('.').filter(|part| part.len() > 3) {
        assert!(!message.contains(part), "{message}");
    }
    assert!(message.starts_with("the token"), "{message}");
    error.cause()
}

/// A token signed with `secret`, whatever the header says besides.
fn signed(header: &Header, claims: &Value, secret: &[u8]) -> String {
    choose_provider();
    encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A plain token signed with the tests' secret.
fn hs256(claims: &Value) -> String {
    signed(&Header::default(), claims, SECRET.as_bytes())
}
