use std::{sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{AlgorithmFamily, crypto, decode_header, errors::ErrorKind};

use super::{
    AuthError, Identity, Minter, choose_provider,
    claims::{Claims, NumericDate, compact, unfit},
    keys::Keys,
    lead::IssuerLead,
};
use crate::{
    config::{self, ConfigError, Secret},
    model::{Grants, META_BYTES, NAME_CHARACTERS, Profile, Timestamp, UserId},
};

/// Accepts tokens, or tells why not.
pub struct Verifier {
    keys: Keys,
    minter: Option<Minter>,
    token_bytes: usize,
    audience: Vec<String>,
    issuer: Vec<String>,
    require_exp: bool,
    /// In milliseconds.
    leeway: u64,
    default_grants: Arc<Grants>,
    lead: IssuerLead,
}

impl Verifier {
    /// Reads the keys. Without a configured secret a random one is made, so
    /// that no two processes accept each other's tokens.
    ///
    /// # Errors
    /// [`ConfigError`] for a file without a key for the configured algorithms.
    pub fn new(settings: &config::Auth) -> Result<Self, ConfigError> {
        choose_provider();
        let mut keys = Keys::new(&settings.algorithms);
        let hmac = settings.algorithms.iter().find(|a| a.family() == AlgorithmFamily::Hmac);
        let minter = match hmac {
            Some(&algorithm) => {
                let secret = settings.secret.clone().map_or_else(random_secret, Ok)?;
                if secret.expose().len() < RECOMMENDED_BYTES {
                    log::warn!("auth.secret is shorter than {RECOMMENDED_BYTES} bytes");
                }
                keys.add_secret(secret.expose().as_bytes());
                Some(Minter::with_secret(settings, algorithm, &secret))
            }
            None => None,
        };
        if let Some(file) = &settings.public_key_file {
            keys.add_pem(file)?;
        }
        if let Some(file) = &settings.jwks_file {
            keys.add_jwks(file)?;
        }
        if let Some(orphan) = settings.algorithms.iter().find(|algorithm| !keys.know(**algorithm)) {
            let expected = "a key for it in auth.public_key_file or auth.jwks_file";
            return Err(ConfigError::value("auth.algorithms", format!("{orphan:?}"), expected));
        }
        Ok(Self {
            keys,
            minter,
            token_bytes: settings.token_bytes,
            audience: settings.audience.clone(),
            issuer: settings.issuer.clone(),
            require_exp: settings.require_exp,
            leeway: u64::try_from(settings.leeway.as_millis()).unwrap_or(u64::MAX),
            default_grants: Arc::new(settings.default_grants.clone()),
            lead: IssuerLead::new(Instant::now()),
        })
    }

    /// Signs tokens this verifier accepts; none where only others can.
    pub fn minter(&self) -> Option<&Minter> {
        self.minter.as_ref()
    }

    /// How far the clocks of those who sign tokens are ahead of this node's, in
    /// milliseconds, as far as tokens shown of late tell.
    pub fn issuers_ahead_ms(&self) -> u64 {
        self.lead.most(Instant::now())
    }

    /// The identity a token stands for at the time `now`.
    ///
    /// # Errors
    /// [`AuthError`] for a token that is not accepted.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, AuthError> {
        if token.len() > self.token_bytes {
            return Err(AuthError::TooLong { limit: self.token_bytes });
        }
        let claims = Claims::parse(&self.signed_payload(token)?)?;
        self.check_parties(&claims)?;
        if let Some(NumericDate(iat)) = claims.iat {
            self.lead.note(iat, now, Instant::now());
        }
        self.check_times(&claims, now)?;
        self.identity(claims)
    }

    /// The payload of a token, once its signature is verified. All else is checked
    /// here and not by the library, which would read header and payload three times.
    fn signed_payload(&self, token: &str) -> Result<Vec<u8>, AuthError> {
        let header = decode_header(token).map_err(|error| unreadable(error.kind()))?;
        // RFC 7515, 4.1.11: what is critical and not understood invalidates.
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        if !self.keys.know(header.alg) {
            return Err(AuthError::Algorithm);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (_, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
        let mut outcome = Err(AuthError::Key);
        for key in self.keys.candidates(header.alg, header.kid.as_deref()) {
            match crypto::verify(signature, message.as_bytes(), key, header.alg) {
                Ok(true) => {
                    return URL_SAFE_NO_PAD.decode(payload).map_err(|_| AuthError::Malformed);
                }
                Ok(false) => outcome = Err(AuthError::Signature),
                Err(_) => return Err(AuthError::Malformed),
            }
        }
        outcome
    }

    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<(), AuthError> {
        match claims.exp {
            Some(NumericDate(exp)) if exp <= now => return Err(AuthError::Expired),
            None if self.require_exp => return Err(unfit("exp")),
            _ => {}
        }
        let latest = now.saturating_add(self.leeway);
        // A token "issued" in the future would outlive a revocation.
        let from_the_future = |time: Option<NumericDate>| time.is_some_and(|time| time.0 > latest);
        if from_the_future(claims.nbf) || from_the_future(claims.iat) {
            return Err(AuthError::NotYet);
        }
        Ok(())
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), AuthError> {
        let fits = |accepted: &[String], named: bool| accepted.is_empty() || named;
        let audience = claims.aud.as_ref().is_some_and(|aud| aud.is_among(&self.audience));
        if !fits(&self.audience, audience) {
            return Err(AuthError::Audience);
        }
        let issuer = claims.iss.as_ref().is_some_and(|iss| self.issuer.contains(iss));
        if !fits(&self.issuer, issuer) {
            return Err(AuthError::Issuer);
        }
        Ok(())
    }

    fn identity(&self, claims: Claims) -> Result<Identity, AuthError> {
        let user = claims.sub.ok_or_else(|| unfit("sub"))?;
        let user = UserId::parse(&user).map_err(|_| unfit("sub"))?;
        let meta = claims.meta.as_deref().map(compact).transpose()?;
        if meta.as_ref().is_some_and(|meta| meta.get().len() > META_BYTES) {
            return Err(unfit("meta"));
        }
        Ok(Identity {
            profile: Arc::new(Profile {
                user,
                name: claims.name.as_deref().and_then(display_name),
                meta: meta.map(Arc::from),
            }),
            grants: claims.grants.map_or_else(|| Arc::clone(&self.default_grants), Arc::new),
            expires_at: claims.exp.map(|exp| exp.0),
            issued_at: claims.iat.map(|iat| iat.0),
            guest: claims.guest.unwrap_or(false),
            token_id: claims.jti.map(Arc::from),
        })
    }
}

/// RFC 7518 asks for a secret as long as the hash; shorter ones can be guessed
/// from any one token.
const RECOMMENDED_BYTES: usize = 32;

fn random_secret() -> Result<Secret, ConfigError> {
    log::info!("auth.secret is empty: a random one is used until this process ends");
    let mut bytes = [0_u8; RECOMMENDED_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        ConfigError::value("auth.secret", "an empty value", format!("a secret ({error})"))
    })?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// Why a header cannot be read. An algorithm that does not exist, `none` among
/// them, is the one case worth telling apart.
fn unreadable(error: &ErrorKind) -> AuthError {
    match error {
        ErrorKind::Json(error) if error.to_string().starts_with("unknown variant") => {
            AuthError::Algorithm
        }
        _ => AuthError::Malformed,
    }
}

/// A name fit to be shown to others: without control characters and not longer
/// than a user id. An issuer's odd name is no reason to lock its owner out.
fn display_name(name: &str) -> Option<Arc<str>> {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARACTERS).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.into())
}
