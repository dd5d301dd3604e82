use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use actix_web::HttpRequest;

use super::{failure::Failure, origin};
use crate::session::Services;

/// Somebody wants in: refuses who tries too often and pages that may not, before
/// anything is read of them. Answers the address that limits count.
pub(super) fn approach(request: &HttpRequest, services: &Services) -> Result<IpAddr, Failure> {
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    services.registry.attempt(address, Instant::now())?;
    origin::check(request, services)?;
    Ok(address)
}
