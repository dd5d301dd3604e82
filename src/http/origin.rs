use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};

use super::{failure::Failure, peer};
use crate::{model::Code, session::Services};

/// Refuses requests of pages that may not make them. Browsers name the page's
/// origin and cannot be made to name another; other clients name none.
pub(super) fn check(request: &HttpRequest, services: &Services) -> Result<(), Failure> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let server = &services.settings.server;
    let secure = peer::is_secure(request, &server.trusted_proxies);
    if allowed(origin, host, secure, &server.allowed_origins) {
        return Ok(());
    }
    let message =
        "pages of this origin may not connect; `server.allowed_origins` lists those that may";
    Err(Failure::new(StatusCode::FORBIDDEN, Code::OriginNotAllowed, message))
}

/// Whether the origin is on the list or, where there is none, of the host that
/// was asked. Where that was asked over TLS (`secure`), a page that came without
/// it is not of the host: it may have been changed on its way.
fn allowed(origin: &str, host: Option<&str>, secure: bool, list: &[String]) -> bool {
    if list.is_empty() {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let same = host.is_some_and(|host| authority.eq_ignore_ascii_case(host));
        return same && !(secure && scheme.eq_ignore_ascii_case("http"));
    }
    list.iter().any(|listed| listed == "*" || listed.eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn without_a_list_the_same_host_may() {
        let host = Some("localhost:8080");
        assert!(allowed("http://localhost:8080", host, false, &[]));
        assert!(allowed("https://LOCALHOST:8080", host, false, &[]));
        assert!(allowed("https://localhost:8080", host, true, &[]));
        assert!(!allowed("http://localhost:8080", host, true, &[]));
        for other in ["http://localhost", "http://localhost:8081", "null", "", "http://evil.test"] {
            assert!(!allowed(other, host, false, &[]), "{other}");
        }
        assert!(!allowed("http://localhost:8080", None, false, &[]));
    }

    #[test]
    fn a_list_is_compared_whole() {
        let list = ["https://app.example".to_owned()];
        assert!(allowed("https://app.example", Some("x"), false, &list));
        for other in ["https://app.example.evil.test", "http://app.example", "https://x", "null"] {
            assert!(!allowed(other, Some("x"), false, &list), "{other}");
        }
        assert!(allowed("https://any.test", None, false, &["*".to_owned()]));
    }
}
