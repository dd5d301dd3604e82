//! Every request has an id: it stands in the answer, in the lines that are logged of
//! it or of the connection that came of it, and in what backends are asked for its
//! sake.

use actix_web::{
    HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web,
};

use super::peer;
use crate::{
    model::{CALL_ID, CallId},
    session::Services,
};

/// Gives the request its id, and its answer too. One that a trusted proxy gave it
/// is kept.
pub async fn mark(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = given(request.request()).unwrap_or_else(CallId::random);
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).await?;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HeaderName::from_static(CALL_ID), value);
    }
    Ok(response)
}

/// The id of a request.
pub(super) fn of(request: &HttpRequest) -> CallId {
    request.extensions().get::<CallId>().cloned().unwrap_or_else(CallId::random)
}

fn given(request: &HttpRequest) -> Option<CallId> {
    let services = request.app_data::<web::Data<Services>>()?;
    let given = request.headers().get(CALL_ID)?.to_str().ok()?;
    let trusted = &services.settings.server.trusted_proxies;
    CallId::parse(given).filter(|_| peer::is_from_proxy(request, trusted))
}
