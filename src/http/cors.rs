//! What browsers ask for before a page may read answers of another origin. Only
//! routes that `server.allowed_origins` is checked for are read that way.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};

use super::{failure::Failure, origin};
use crate::session::Services;

/// For how many seconds a browser remembers that it may ask.
const REMEMBERED: &str = "600";

/// Lets the page that asked, whose origin was checked, read the answer.
pub(super) fn let_read(request: &HttpRequest, answer: &mut HeaderMap) {
    answer.insert(header::VARY, header::HeaderValue::from_static("origin"));
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let yes = header::HeaderValue::from_static("true");
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// `OPTIONS`: whether a page may ask at all.
pub(super) async fn preflight(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    origin::check(&request, &services)?;
    let mut answer = HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, last-event-id",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED))
        .finish();
    let_read(&request, answer.headers_mut());
    Ok(answer)
}
