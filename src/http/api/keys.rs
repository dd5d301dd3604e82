use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::{
    config::{Api, ApiKey, Scope},
    http::{credentials, failure::Failure},
    model::RoomName,
    session::Services,
};

/// Who asks has shown a key of `[api]`. Every call takes this first.
pub(super) struct Backend {
    services: web::Data<Services>,
    /// Which of `[[api.key]]`; none where it is one that may do everything.
    limited: Option<usize>,
}

impl FromRequest for Backend {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(check(request))
    }
}

impl Backend {
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// The key, unless it is one that may do everything.
    pub(super) fn limited(&self) -> Option<&ApiKey> {
        self.services.settings.api.key.get(self.limited?)
    }

    /// What the key is called in the log.
    pub(super) fn name(&self) -> &str {
        self.limited().map_or("a backend", |key| &key.name)
    }

    /// Refuses where the key is not for such calls.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Failure> {
        match self.limited() {
            Some(key) if !key.scopes.contains(&scope) => {
                self.services.metrics.calls_refused.count("scope");
                Err(Failure::forbidden(format!("this needs a key with the scope `{scope}`")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses where the node sheds load. What only reads, ends or deletes is taken all
    /// the same: it may be what helps.
    pub(super) fn require_room_for_work(&self) -> Result<(), Failure> {
        match self.services.registry.shedding().refuses_write() {
            Some(cause) => {
                self.services.metrics.calls_refused.count(cause.word());
                Err(cause.into())
            }
            None => Ok(()),
        }
    }

    /// Whether the key is for this room.
    pub(super) fn reaches(&self, room: &RoomName) -> bool {
        self.limited().is_none_or(|key| key.reaches(room))
    }

    /// Refuses where the key is not for this room.
    pub(super) fn require_room(&self, room: &RoomName) -> Result<(), Failure> {
        if self.reaches(room) {
            return Ok(());
        }
        self.services.metrics.calls_refused.count("room");
        let message = format!("this key is not for the room `{room}`; its `rooms` do not match");
        Err(Failure::forbidden(message))
    }
}

/// Who asks, by the key in the request's header.
pub(super) fn check(request: &HttpRequest) -> Result<Backend, Failure> {
    let services = request.app_data::<web::Data<Services>>().ok_or_else(off)?;
    known_by(services, credentials::bearer(request))
}

/// Who shows this key.
pub(super) fn known_by(
    services: &web::Data<Services>,
    shown: Option<&str>,
) -> Result<Backend, Failure> {
    require_on(services)?;
    let api = &services.settings.api;
    let at = shown.and_then(|shown| find(shown, known(api))).ok_or_else(|| {
        services.metrics.calls_refused.count("key");
        Failure::unauthorized("expected `Authorization: Bearer` with one of `api.keys`")
    })?;
    Ok(Backend { services: services.clone(), limited: at.checked_sub(api.keys.len()) })
}

/// Refuses where there is no backend API.
pub(super) fn require_on(services: &Services) -> Result<(), Failure> {
    if services.settings.api.is_on() { Ok(()) } else { Err(off()) }
}

fn off() -> Failure {
    Failure::not_found("the backend API is off: `api.keys` has no keys")
}

/// All keys: first those that may do everything.
fn known(api: &Api) -> impl Iterator<Item = &str> {
    api.keys.iter().chain(api.key.iter().map(|limited| &limited.key)).map(|key| key.expose())
}

/// Which of the keys it is. Takes as long whichever it is, and however much of one
/// was guessed.
fn find<'a>(shown: &str, keys: impl Iterator<Item = &'a str>) -> Option<usize> {
    let mut found = u64::MAX;
    for (at, key) in keys.enumerate() {
        found.conditional_assign(&(at as u64), key.as_bytes().ct_eq(shown.as_bytes()));
    }
    usize::try_from(found).ok().filter(|_| found != u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_as_a_whole_and_wherever_it_stands() {
        let found = |shown| find(shown, ["first-key", "second-key"].into_iter());
        assert_eq!((found("first-key"), found("second-key")), (Some(0), Some(1)));
        for other in ["", "first", "first-key1", "First-key", "first-keysecond-key"] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
