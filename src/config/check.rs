//! What no single value shows to be wrong.

use std::path::Path;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::{Ask, Auth, Broker, ConfigError, Guest, Secret, Settings, Webhooks};

impl Settings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_tls()?;
        self.auth.check()?;
        self.api.check()?;
        self.webhooks.check()?;
        self.ask.check()?;
        self.broker.check()
    }
}

impl Broker {
    fn check(&self) -> Result<(), ConfigError> {
        match (&self.path, &self.url) {
            (Some(path), Some(_)) => {
                let expected = "an empty value, as broker.url is set: Redis keeps the logs";
                Err(ConfigError::value("broker.path", format!("{path:?}"), expected))
            }
            _ => Ok(()),
        }
    }
}

impl Settings {
    fn check_tls(&self) -> Result<(), ConfigError> {
        let certified = match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => return Err(missing("tls.key", "tls.cert")),
            (None, Some(_)) => return Err(missing("tls.cert", "tls.key")),
            (cert, _) => cert.as_ref(),
        };
        let listen = &self.server.listen;
        let spoken = listen.iter().position(|listen| listen.is_tls(certified.is_some()));
        match (certified, spoken) {
            (None, Some(at)) => {
                let got = listen.get(at).map(|listen| format!("\"{listen}\""));
                let expected = "an address without TLS, or tls.cert and tls.key";
                let key = format!("server.listen[{at}]");
                Err(ConfigError::value(key, got.unwrap_or_default(), expected))
            }
            (Some(cert), None) => {
                let expected = "nothing, or an address in server.listen that speaks TLS, \
                                such as \"https://0.0.0.0:8443\"";
                Err(ConfigError::value("tls.cert", format!("{cert:?}"), expected))
            }
            _ => Ok(()),
        }
    }
}

fn missing(key: &str, because: &str) -> ConfigError {
    ConfigError::value(key, "nothing", format!("a PEM file, as {because} is set"))
}

impl Webhooks {
    fn check(&self) -> Result<(), ConfigError> {
        if self.url.is_some() {
            signed("webhooks.keys", &self.keys)?;
        }
        let mut names = vec![Self::FIRST];
        for (at, endpoint) in self.endpoint.iter().enumerate() {
            signed(&format!("webhooks.endpoint[{at}].keys"), &endpoint.keys)?;
            if names.contains(&endpoint.name.as_str()) {
                let key = format!("webhooks.endpoint[{at}].name");
                let expected = "a name that no other endpoint has; webhooks.url is called \"main\"";
                return Err(ConfigError::value(key, format!("{:?}", endpoint.name), expected));
            }
            names.push(&endpoint.name);
        }
        Ok(())
    }
}

impl Ask {
    fn check(&self) -> Result<(), ConfigError> {
        if self.url.is_some() {
            return signed("ask.keys", &self.keys);
        }
        if self.connect || !self.join.is_empty() || !self.publish.is_empty() {
            let expected = "an address, as ask.connect, ask.join or ask.publish is set";
            return Err(ConfigError::value("ask.url", "nothing", expected));
        }
        Ok(())
    }
}

/// Whoever is called has to be able to tell who calls.
fn signed(key: &str, keys: &[Secret]) -> Result<(), ConfigError> {
    if keys.is_empty() {
        let expected = "at least one key that the calls are signed with";
        return Err(ConfigError::value(key, "nothing", expected));
    }
    Ok(())
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
