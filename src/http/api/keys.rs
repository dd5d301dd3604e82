use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    http::{credentials, failure::Failure},
    session::Services,
};

/// Who asks has shown one of `api.keys`. Every call takes this first.
pub(super) struct Backend;

impl FromRequest for Backend {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(check(request).map(|()| Self))
    }
}

fn check(request: &HttpRequest) -> Result<(), Failure> {
    let services = request.app_data::<web::Data<Services>>();
    let keys = services.map_or(&[][..], |services| &services.settings.api.keys);
    if keys.is_empty() {
        return Err(Failure::not_found("the backend API is off: `api.keys` has no keys"));
    }
    match credentials::bearer(request) {
        Some(shown) if is_among(shown, keys.iter().map(|key| key.expose())) => Ok(()),
        _ => Err(Failure::unauthorized("expected `Authorization: Bearer` with one of `api.keys`")),
    }
}

/// Takes as long whichever key it is, and however much of one was guessed.
fn is_among<'a>(shown: &str, keys: impl Iterator<Item = &'a str>) -> bool {
    let equal = |key: &str| key.as_bytes().ct_eq(shown.as_bytes());
    keys.fold(Choice::from(0), |found, key| found | equal(key)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_as_a_whole_and_wherever_it_stands() {
        let is_known = |shown| is_among(shown, ["first-key", "second-key"].into_iter());
        assert!(is_known("first-key") && is_known("second-key"));
        for other in ["", "first", "first-key1", "First-key", "first-keysecond-key"] {
            assert!(!is_known(other), "{other}");
        }
    }
}
