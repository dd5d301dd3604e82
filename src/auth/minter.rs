use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::choose_provider;
use crate::{
    config::{self, ConfigError, Secret},
    model::{Code, Grants, Problem, Profile, Timestamp, UserId},
};

/// How many characters a guest's name may have.
const GUEST_NAME_CHARACTERS: usize = 64;

/// Signs tokens with the secret: for guests and for the command line.
pub struct Minter {
    key: EncodingKey,
    algorithm: Algorithm,
    /// Where the configuration asks for an audience, its first.
    audience: Option<String>,
    /// Where the configuration asks for an issuer, its first.
    issuer: Option<String>,
    guest_ttl: Duration,
}

/// What a new token says.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Whom it stands for.
    pub sub: &'a UserId,
    /// How long it holds.
    pub ttl: Duration,
    /// The display name.
    pub name: Option<&'a str>,
    /// Whom it is for; without one, whom the configuration asks for.
    pub audience: Option<&'a str>,
    /// Whom it is from; without one, whom the configuration asks for.
    pub issuer: Option<&'a str>,
    /// What it allows.
    pub grants: Option<&'a Grants>,
    /// What is shown in presence.
    pub meta: Option<&'a RawValue>,
    /// Whether it is for somebody without an account, who may renew it.
    pub guest: bool,
}

impl<'a> NewToken<'a> {
    /// A token for `sub` that holds for `ttl`, and says nothing else.
    pub fn new(sub: &'a UserId, ttl: Duration) -> Self {
        Self {
            sub,
            ttl,
            name: None,
            audience: None,
            issuer: None,
            grants: None,
            meta: None,
            guest: false,
        }
    }
}

/// A token for somebody without an account.
#[derive(Clone)]
pub struct GuestToken {
    /// The token.
    pub token: String,
    /// The user it stands for, whom nobody else is.
    pub user: UserId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token that could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed: {0}")]
pub struct MintError(#[from] jsonwebtoken::errors::Error);

impl Minter {
    /// Signs with the configured secret.
    ///
    /// # Errors
    /// [`ConfigError`] where there is none, or no algorithm that uses it: no
    /// server would accept the tokens.
    pub fn new(settings: &config::Auth) -> Result<Self, ConfigError> {
        let hmac = settings.algorithms.iter().find(|a| a.family() == AlgorithmFamily::Hmac);
        let Some(&algorithm) = hmac else {
            let got = format!("{:?}", settings.algorithms);
            let expected = "HS256, HS384 or HS512 among them: only these can be signed here";
            return Err(ConfigError::value("auth.algorithms", got, expected));
        };
        let Some(secret) = &settings.secret else {
            let expected = "the secret of the server that is to accept the token";
            return Err(ConfigError::value("auth.secret", "an empty value", expected));
        };
        Ok(Self::with_secret(settings, algorithm, secret))
    }

    pub(super) fn with_secret(
        settings: &config::Auth,
        algorithm: Algorithm,
        secret: &Secret,
    ) -> Self {
        choose_provider();
        Self {
            key: EncodingKey::from_secret(secret.expose().as_bytes()),
            algorithm,
            audience: settings.audience.first().cloned(),
            issuer: settings.issuer.first().cloned(),
            guest_ttl: settings.guest_ttl,
        }
    }

    /// Signs a token made at the time `now`.
    ///
    /// # Errors
    /// [`MintError`] where the library fails to sign.
    pub fn mint(&self, token: &NewToken<'_>, now: Timestamp) -> Result<String, MintError> {
        let claims = Claims {
            sub: token.sub,
            iat: seconds(now),
            exp: seconds(expiry(now, token.ttl)),
            aud: token.audience.or(self.audience.as_deref()),
            iss: token.issuer.or(self.issuer.as_deref()),
            name: token.name,
            grants: token.grants,
            meta: token.meta,
            guest: token.guest,
        };
        Ok(encode(&Header::new(self.algorithm), &claims, &self.key)?)
    }

    /// A token for a guest who wants to be called `name`.
    ///
    /// # Errors
    /// `bad_message` for a name that cannot be shown.
    pub fn guest(&self, name: &str, now: Timestamp) -> Result<GuestToken, Problem> {
        let name = name.trim();
        let characters = name.chars().count();
        if !(1..=GUEST_NAME_CHARACTERS).contains(&characters) || name.chars().any(char::is_control)
        {
            return Err(Problem::new(
                Code::BadMessage,
                format!(
                    "name: got {characters} characters, expected 1 to {GUEST_NAME_CHARACTERS}, \
                     none of them a control character"
                ),
            ));
        }
        self.guest_token(guest_id(name)?, name, now)
    }

    /// A later token for the guest whom an earlier one stands for.
    ///
    /// # Errors
    /// `internal` where it could not be signed.
    pub fn renew_guest(&self, profile: &Profile, now: Timestamp) -> Result<GuestToken, Problem> {
        let name = profile.name.as_deref().unwrap_or(profile.user.as_str());
        self.guest_token(profile.user.clone(), name, now)
    }

    fn guest_token(&self, user: UserId, name: &str, now: Timestamp) -> Result<GuestToken, Problem> {
        let plain = NewToken::new(&user, self.guest_ttl);
        let token = NewToken { name: Some(name), guest: true, ..plain };
        let token = self.mint(&token, now).map_err(internal)?;
        Ok(GuestToken { token, user, expires_at: expiry(now, self.guest_ttl) })
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a UserId,
    iat: f64,
    exp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<&'a Grants>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    guest: bool,
}

/// A time as tokens have it: seconds, with a fraction, so that a token holds
/// for exactly as long as was asked.
fn seconds(time: Timestamp) -> f64 {
    time as f64 / 1_000.0
}

fn expiry(now: Timestamp, ttl: Duration) -> Timestamp {
    now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

/// A user id that can be recognised, and neither guessed nor taken twice.
fn guest_id(name: &str) -> Result<UserId, Problem> {
    const SLUG_CHARACTERS: usize = 24;
    let mut slug = String::new();
    for character in name.chars().take(SLUG_CHARACTERS) {
        match character.to_ascii_lowercase() {
            kept @ ('a'..='z' | '0'..='9') => slug.push(kept),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "guest",
        slug => slug,
    };
    let random = getrandom::u64().map_err(internal)?;
    UserId::parse(&format!("{slug}-{random:016x}")).map_err(internal)
}

fn internal(error: impl std::error::Error) -> Problem {
    log::error!("no token for a guest: {error}");
    Problem::new(Code::Internal, "no token could be made")
}
