use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::read;

/// `[tls]`: how this node speaks TLS to its clients, where it does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the node's certificate and those it is signed by; none
    /// for no TLS.
    #[serde(deserialize_with = "read::path")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    #[serde(deserialize_with = "read::path")]
    pub key: Option<PathBuf>,
    /// How long a client may take for the handshake.
    #[serde(deserialize_with = "read::period")]
    pub handshake_timeout: Duration,
}

impl Tls {
    /// The files of the certificate and of its key, where there is a certificate.
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert.as_ref().zip(self.key.as_ref())
    }
}
