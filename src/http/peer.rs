use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

use super::{failure::Failure, origin};
use crate::{cluster::Attempt, session::Services};

/// Somebody wants in: refuses who tries too often and pages that may not, before
/// anything is read of them. Answers the address that limits count.
pub(super) async fn approach(
    request: &HttpRequest,
    services: &Services,
) -> Result<IpAddr, Failure> {
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    services.registry.attempt(Attempt::Address(address)).await?;
    origin::check(request, services)?;
    Ok(address)
}
