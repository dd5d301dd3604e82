//! What no single value shows to be wrong.

use std::path::Path;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::{Auth, ConfigError, Guest, Settings};

impl Settings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.auth.check()?;
        self.api.check()
    }
}

impl Auth {
    fn check(&self) -> Result<(), ConfigError> {
        let is_hmac = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        let public = self.algorithms.iter().find(|algorithm| !is_hmac(algorithm));
        match (public, &self.public_key_file, &self.jwks_file) {
            (Some(public), None, None) => {
                let expected = "a key for it in auth.public_key_file or auth.jwks_file";
                return Err(ConfigError::value("auth.algorithms", format!("{public:?}"), expected));
            }
            (None, Some(file), _) => return Err(unused("auth.public_key_file", file)),
            (None, _, Some(file)) => return Err(unused("auth.jwks_file", file)),
            _ => {}
        }
        if self.guest == Guest::On && !self.algorithms.iter().any(is_hmac) {
            let expected = "\"auto\" or \"off\": guests' tokens are signed with auth.secret, \
                            and auth.algorithms has none of HS256, HS384, HS512";
            return Err(ConfigError::value("auth.guest", "\"on\"", expected));
        }
        Ok(())
    }
}

fn unused(key: &str, file: &Path) -> ConfigError {
    let expected = "an empty value, or an algorithm for its keys in auth.algorithms";
    ConfigError::value(key, format!("{file:?}"), expected)
}
