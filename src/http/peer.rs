//! From whom a request came.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::{HttpRequest, http::header};
use ipnet::IpNet;

use super::{failure::Failure, origin};
use crate::{cluster::Attempt, net::Origin, session::Services};

/// Somebody wants in: refuses where load is shed, who tries too often, and pages
/// that may not, before anything is read of them. Answers the address that limits count.
pub(super) async fn approach(
    request: &HttpRequest,
    services: &Services,
) -> Result<IpAddr, Failure> {
    services.registry.require_room()?;
    let address = address(request, &services.settings.server.trusted_proxies);
    services.registry.attempt(Attempt::Address(address)).await?;
    origin::check(request, services)?;
    Ok(address)
}

/// Whether the client speaks TLS: to this node, or to a proxy that is believed.
pub(super) fn is_secure(request: &HttpRequest, trusted: &[IpNet]) -> bool {
    // What the proxies before it said stands before the nearest one's word.
    let nearest = values(request, header::X_FORWARDED_PROTO).next_back();
    match nearest.filter(|_| is_from_proxy(request, trusted)) {
        Some(scheme) => scheme == "https",
        None => request.conn_data::<Origin>().is_some_and(Origin::is_tls),
    }
}

/// Whether it came from a proxy that is believed.
pub(super) fn is_from_proxy(request: &HttpRequest, trusted: &[IpNet]) -> bool {
    is_trusted(socket_address(request), trusted)
}

fn address(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    farthest(socket_address(request), values(request, header::X_FORWARDED_FOR), trusted)
}

fn socket_address(request: &HttpRequest) -> IpAddr {
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical())
}

/// The items of a header that is a list, in all the lines it stands in. What is no
/// text is an item that nobody understands.
fn values(
    request: &HttpRequest,
    name: header::HeaderName,
) -> impl DoubleEndedIterator<Item = &str> {
    let lines: Vec<_> = request.headers().get_all(name).collect();
    lines.into_iter().flat_map(|line| line.to_str().unwrap_or_default().split(',')).map(str::trim)
}

/// Each proxy adds behind the others from whom it had the request. So from the end
/// backwards, what a trusted one says is believed, and no more: the first address
/// that is not a trusted proxy's is the client's. Where one says what is not
/// understood, it is taken for the client itself.
fn farthest<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut address = peer;
    for item in forwarded.rev() {
        match parse(item) {
            Some(before) if is_trusted(address, trusted) => address = before,
            _ => break,
        }
    }
    address
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it, some with a port.
fn parse(item: &str) -> Option<IpAddr> {
    let bare = item.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(item);
    let address = bare.parse().ok().or_else(|| Some(item.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|it| it.parse().unwrap());
        farthest(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn the_first_that_is_no_trusted_proxy_is_the_client() {
        assert_eq!(client("127.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("127.0.0.1", &["192.0.2.7", "10.1.2.3"]), "192.0.2.7");
        assert_eq!(client("127.0.0.1", &["2001:db8::1", "fd00::7"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", &["10.1.2.3"]), "10.1.2.3", "one that is a client");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(client("192.0.2.1", &["192.0.2.7"]), "192.0.2.1");
        // What the client itself wrote stands before what the proxy added.
        assert_eq!(client("127.0.0.1", &["198.51.100.9", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("127.0.0.1", &["10.9.9.9", "192.0.2.7", "10.1.2.3"]), "192.0.2.7");
    }

    #[test]
    fn addresses_are_read_with_a_port_or_without() {
        for (written, read) in [
            ("192.0.2.7:8080", "192.0.2.7"),
            ("[2001:db8::1]:8080", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(client("127.0.0.1", &[written]), read);
        }
        for odd in ["", "unknown", "_hidden", "192.0.2", "192.0.2.7, x"] {
            assert_eq!(client("127.0.0.1", &["192.0.2.9", odd]), "127.0.0.1", "{odd}");
        }
    }
}
