use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

/// The address that limits count.
pub(super) fn address(request: &HttpRequest) -> IpAddr {
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}
