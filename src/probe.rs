//! `rookery probe`: asks the server of the same configuration how it is, for
//! where there is no other program that could, as in a container.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, StatusCode, redirect::Policy};
use rookery::config::{Listen, Settings};

/// How long the answer may take, from connecting to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for `path` at the first address listened on, and gives the body of a 200.
///
/// # Errors
/// Any other answer, or none, in words for people.
pub(crate) fn probe(settings: &Settings, path: &str) -> anyhow::Result<String> {
    let listen = settings.server.listen.first().context("server.listen is empty")?;
    // The server is known by where it listens; no certificate is for such an address.
    let mut client = Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(Policy::none())
        .tls_danger_accept_invalid_certs(true);
    let base = match listen {
        Listen::Unix(socket) => {
            client = client.unix_socket(socket.as_path());
            "http://localhost".to_owned()
        }
        Listen::Tcp { address, .. } => {
            ensure!(address.port() != 0, "server.listen: nobody knows which port 0 became");
            let tls = listen.is_tls(settings.tls.files().is_some());
            format!("{}://{}", if tls { "https" } else { "http" }, reachable(*address))
        }
    };
    let asked = async {
        let response = client.build()?.get(format!("{base}{path}")).send().await?;
        let status = response.status();
        anyhow::Ok((status, response.text().await?))
    };
    let at = || format!("asked {listen} for {path}");
    let (status, body) = actix_web::rt::System::new().block_on(asked).with_context(at)?;
    if status != StatusCode::OK {
        bail!("{}: {status}: {body}", at());
    }
    Ok(body)
}

/// Where this machine reaches a server that listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_at_home() {
        for (listening, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()).to_string(), asked);
        }
    }
}
