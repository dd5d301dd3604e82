//! The way of a user to a session, whatever it is spoken over.

use std::{net::IpAddr, sync::Arc};

use actix_web::HttpRequest;
use log::debug;

use super::{call_id, credentials, failure::Failure, peer, socket::Wishes};
use crate::{
    auth::{AuthError, Identity},
    cluster::Attempt,
    model::{CallId, What, wall_clock},
    session::{Refused, Role, Seed, Services, Worker},
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

/// Opens a connection as `opening` does, unless the node begins to drain meanwhile: who
/// waits for others (Redis, a backend) then is refused at once.
pub(super) async fn opened<T>(
    request: &HttpRequest,
    services: &Services,
    opening: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let opened = tokio::select! {
        biased;
        opened = opening => opened,
        () = services.registry.drain_begins() => Err(Refused::Draining.into()),
    };
    opened.inspect_err(|failure| refused(request, services, failure))
}

/// Nobody came in by this request: counts why, and says it to who looks closely.
/// At `debug`, as anyone could fill a log with it.
fn refused(request: &HttpRequest, services: &Services, failure: &Failure) {
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
    /// connections, and reads the inbox. Whoever this lets in is welcomed.
    pub(super) async fn enter(
        self,
        services: &Arc<Services>,
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
        let user = &identity.profile.user;
        let opened = Worker::current(services).open_inbox(&permit, user).await;
        let opened = opened.map_err(|problem| Failure::from(problem).because("broker"));
        let expired = identity.expires_at.is_some_and(|end| end <= wall_clock());
        // All of this took a while.
        let checked = opened.and_then(|inbox| match permit.recheck() {
            Ok(()) if expired => Err(Failure::unauthorized(AuthError::Expired.to_string())),
            Ok(()) => Ok(inbox),
            Err(refused) => Err(refused.into()),
        });
        let inbox = checked.map_err(|failure| turned_away(services, &identity, failure))?;
        let role = Role::Member { identity: Box::new(identity), requests, inbox };
        Ok(Seed { call, permit, role, protocol })
    }
}
