use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// What an address written in `server.listen` begins with, if it is not bare.
const HTTP: &str = "http://";
const HTTPS: &str = "https://";
const UNIX: &str = "unix:";

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address of the network.
    Tcp {
        /// The address; port 0 picks a free one.
        address: SocketAddr,
        /// What is spoken there.
        scheme: Scheme,
    },
    /// A Unix socket, by its path.
    Unix(PathBuf),
}

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP, also where there is a certificate.
    Http,
    /// HTTP over TLS.
    Https,
    /// TLS where there is a certificate, else plain HTTP.
    Either,
}

impl Scheme {
    /// Whether TLS is spoken, given whether there is a certificate.
    pub fn is_tls(self, certified: bool) -> bool {
        match self {
            Self::Http => false,
            Self::Https => true,
            Self::Either => certified,
        }
    }
}

impl Listen {
    /// Whether nothing but this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether TLS is spoken there, given whether there is a certificate.
    pub fn is_tls(&self, certified: bool) -> bool {
        matches!(self, Self::Tcp { scheme, .. } if scheme.is_tls(certified))
    }
}

/// The text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address to listen at")]
pub struct NoAddress;

impl FromStr for Listen {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let fits = !path.is_empty() && !path.contains('\0');
            return fits.then(|| Self::Unix(path.into())).ok_or(NoAddress);
        }
        let (scheme, rest) = match (text.strip_prefix(HTTP), text.strip_prefix(HTTPS)) {
            (Some(rest), _) => (Scheme::Http, rest),
            (_, Some(rest)) => (Scheme::Https, rest),
            _ => (Scheme::Either, text),
        };
        let address = rest.parse().map_err(|_| NoAddress)?;
        Ok(Self::Tcp { address, scheme })
    }
}

/// As it is written in the configuration.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, address) = match self {
            Self::Unix(path) => return write!(f, "{UNIX}{}", path.display()),
            Self::Tcp { address, scheme: Scheme::Http } => (HTTP, address),
            Self::Tcp { address, scheme: Scheme::Https } => (HTTPS, address),
            Self::Tcp { address, scheme: Scheme::Either } => ("", address),
        };
        write!(f, "{scheme}{address}")
    }
}
