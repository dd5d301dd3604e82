//! The way of a user to a session, whatever it is spoken over.

use std::net::IpAddr;

use actix_web::HttpRequest;
use log::debug;

use super::{call_id, credentials, failure::Failure, peer, socket::Wishes};
use crate::{
    auth::Identity,
    cluster::Attempt,
    model::{CallId, What},
    session::{Role, Seed, Services},
    wire::Protocol,
};

/// Tells traces that a user is refused.
fn turned_away(services: &Services, identity: &Identity, failure: Failure) -> Failure {
    services.traces.note(Some(&identity.profile.user), None, None, || What::TurnedAway {
        cause: failure.cause().into(),
        message: failure.to_string().into(),
    });
    failure
}

/// A verified user who wants a session.
pub(super) struct Entrant {
    address: IpAddr,
    identity: Identity,
    wishes: Wishes,
    call: CallId,
}

/// Nobody came in by this request: counts why, and says it to who looks closely.
/// At `debug`, as anyone could fill a log with it.
pub(super) fn refused(request: &HttpRequest, services: &Services, failure: &Failure) {
    services.metrics.upgrades_refused.count(failure.cause());
    let call = call_id::of(request);
    debug!(request:% = call, cause = failure.cause(); "request {call}: refused: {}", failure.cause());
}

impl Entrant {
    /// Refuses who tries too often, pages that may not, and tokens that do not hold.
    /// `later` are places that the client knows besides those of its query.
    pub(super) async fn approach(
        request: &HttpRequest,
        services: &Services,
        later: Option<&str>,
    ) -> Result<Self, Failure> {
        let address = peer::approach(request, services).await?;
        let identity = credentials::identity(request, services)?;
        let attempted = services.registry.attempt(Attempt::User(&identity.profile.user)).await;
        attempted.map_err(|refused| turned_away(services, &identity, refused.into()))?;
        let rooms = services.settings.limits.rooms_per_session;
        let wishes = Wishes::read(request.query_string(), later, rooms);
        Ok(Self { address, identity, wishes, call: call_id::of(request) })
    }

    /// Asks the backend, where it is to be asked, as whom the user may connect and
    /// which rooms it is to join besides; then takes its place among the
    /// connections.
    pub(super) async fn enter(
        self,
        services: &Services,
        protocol: Protocol,
    ) -> Result<Seed, Failure> {
        let Self { address, mut identity, mut wishes, call } = self;
        if let Some(asker) = &services.asker {
            let answered = asker.connect(identity, Some(address), &call).await;
            let (allowed, rooms) = answered.map_err(|no| Failure::from(no).because("backend"))?;
            identity = allowed;
            wishes.add(&rooms);
        }
        let Wishes { requests, session } = wishes;
        let permit = services.registry.admit(address, Some(&identity), session.as_deref()).await;
        let permit = permit.map_err(|refused| turned_away(services, &identity, refused.into()))?;
        let role = Role::Member { identity: Box::new(identity), requests };
        Ok(Seed { call, permit, role, protocol })
    }
}
