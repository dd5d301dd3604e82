use std::{fmt, str::FromStr};

use actix_web::http::Uri;

/// Where a server listens: `ws://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host, without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port, as the header `Host` has them.
    pub(super) authority: String,
}

/// What is no address of a server, in words for people.
#[derive(Debug, thiserror::Error)]
#[error("expected ws://HOST:PORT{0}")]
pub struct NoAddress(&'static str);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let uri: Uri = text.parse().map_err(|_| NoAddress(""))?;
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => {
                return Err(NoAddress(": the demo speaks no TLS, so go past the proxy"));
            }
            _ => return Err(NoAddress("")),
        }
        if !matches!(uri.path(), "" | "/" | "/ws") || uri.query().is_some() {
            return Err(NoAddress(", and nothing behind it"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NoAddress(""))?;
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authority: format!("{host}:{port}"),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn host_and_port_are_taken_out_of_the_address() {
        for (text, host, port, authority) in [
            ("ws://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("http://example.test/", "example.test", 80, "example.test:80"),
            ("ws://[::1]:9/ws", "::1", 9, "[::1]:9"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.authority, authority);
        }
    }

    #[test]
    fn what_is_none_is_told_what_is_expected() {
        for text in ["", "8080", "localhost:8080", "ftp://x", "ws://x/chat", "ws://x/?room=y"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.starts_with("expected ws://HOST:PORT"), "{text}: {error}");
        }
        assert!("wss://x".parse::<Address>().unwrap_err().to_string().contains("TLS"));
    }
}
