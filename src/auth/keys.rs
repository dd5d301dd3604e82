//! The keys that tokens are verified with, each bound to the algorithms it is
//! made for. A token's `alg` and `kid` choose among these, and add nothing.

use std::{fs, path::Path};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse},
};

use crate::config::ConfigError;

/// How many keys are tried for one token: more would let a stranger's token
/// cost more than a check or two.
const MAX_TRIED: usize = 8;

/// Lengths, in Base64, of RSA moduli of 2,048 to 8,192 bits.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 342..=1_366;

pub(super) struct Keys {
    keys: Vec<Key>,
    accepted: Vec<Algorithm>,
}

struct Key {
    /// Its name in the set it came from. A key without one may stand for any.
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Keys {
    /// No keys yet, for tokens signed with one of the `accepted` algorithms.
    pub(super) fn new(accepted: &[Algorithm]) -> Self {
        Self { keys: Vec::new(), accepted: accepted.to_vec() }
    }

    /// Whether any key is for `algorithm`.
    pub(super) fn know(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.algorithms.contains(&algorithm))
    }

    /// The keys a token with this header may be signed with.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            key.algorithms.contains(&algorithm)
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        self.keys.iter().filter(fits).map(|key| &key.key).take(MAX_TRIED)
    }

    /// Adds the secret of HS256, HS384 and HS512.
    pub(super) fn add_secret(&mut self, secret: &[u8]) {
        let algorithms = self.accepted_of(AlgorithmFamily::Hmac.algorithms());
        self.keys.push(Key { id: None, algorithms, key: DecodingKey::from_secret(secret) });
    }

    /// Adds the public key in a PEM file.
    pub(super) fn add_pem(&mut self, file: &Path) -> Result<(), ConfigError> {
        let unfit = |expected: &str| {
            ConfigError::value("auth.public_key_file", format!("{file:?}"), expected)
        };
        let pem = fs::read(file).map_err(|error| unfit(&format!("a readable file ({error})")))?;
        if pem.windows(PRIVATE.len()).any(|part| part == PRIVATE) {
            return Err(unfit("a public key; this is a private one, which belongs elsewhere"));
        }
        let key = DecodingKey::from_rsa_pem(&pem)
            .or_else(|_| DecodingKey::from_ec_pem(&pem))
            .or_else(|_| DecodingKey::from_ed_pem(&pem))
            .map_err(|_| unfit("a public RSA, EC or Ed25519 key in PEM"))?;
        let algorithms = Jwk::from_decoding_key(&key, None)
            .map(|jwk| self.accepted_of(made_for(&jwk)))
            .unwrap_or_default();
        if algorithms.is_empty() {
            return Err(unfit(&format!(
                "a key for one of {:?}, RSA of 2048 bits or more",
                self.accepted
            )));
        }
        self.keys.push(Key { id: None, algorithms, key });
        Ok(())
    }

    /// Adds the keys of a JSON Web Key Set that are of use here; sets often
    /// hold others too.
    pub(super) fn add_jwks(&mut self, file: &Path) -> Result<(), ConfigError> {
        let unfit =
            |expected: &str| ConfigError::value("auth.jwks_file", format!("{file:?}"), expected);
        let json = fs::read(file).map_err(|error| unfit(&format!("a readable file ({error})")))?;
        let set: JwkSet = serde_json::from_slice(&json)
            .map_err(|_| unfit("a JSON Web Key Set: {\"keys\": [..]}"))?;
        let before = self.keys.len();
        for jwk in set.keys {
            let algorithms = self.accepted_of(made_for(&jwk));
            if let (false, Ok(key)) = (algorithms.is_empty(), DecodingKey::from_jwk(&jwk)) {
                self.keys.push(Key { id: jwk.common.key_id, algorithms, key });
            }
        }
        if self.keys.len() == before {
            return Err(unfit(&format!("a public key for one of {:?} in it", self.accepted)));
        }
        Ok(())
    }

    fn accepted_of(&self, algorithms: impl AsRef<[Algorithm]>) -> Vec<Algorithm> {
        let algorithms = algorithms.as_ref().iter();
        algorithms.copied().filter(|algorithm| self.accepted.contains(algorithm)).collect()
    }
}

/// What every kind of PEM block with a private key says.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// The algorithms a public key is made for, by its kind and by what it says of
/// itself. A symmetric key in a set of public ones is for none.
fn made_for(jwk: &Jwk) -> Vec<Algorithm> {
    let by_kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if RSA_MODULUS.contains(&key.n.len()) => {
            AlgorithmFamily::Rsa.algorithms()
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    };
    let own = &jwk.common;
    let for_signatures =
        own.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature)
            && own.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    by_kind
        .iter()
        .copied()
        .filter(|&algorithm| {
            for_signatures && own.key_algorithm.is_none_or(|named| named == algorithm.into())
        })
        .collect()
}
