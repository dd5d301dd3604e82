use std::net::IpAddr;

use super::{failure::Failure, socket::Wishes};
use crate::{auth::Identity, session::Services};

/// Asks the backend, where it is to be asked, whether a verified user may connect;
/// answers as whom, and adds the rooms it is to join besides.
pub(super) async fn ask(
    services: &Services,
    identity: Identity,
    address: IpAddr,
    wishes: &mut Wishes,
) -> Result<Identity, Failure> {
    let Some(asker) = &services.asker else { return Ok(identity) };
    let answered = asker.connect(identity, Some(address)).await;
    let (identity, rooms) = answered.map_err(|no| Failure::from(no).because("backend"))?;
    wishes.add(&rooms);
    Ok(identity)
}
