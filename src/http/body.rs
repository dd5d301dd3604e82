use std::time::Duration;

use actix_web::{http::StatusCode, web};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::failure::Failure;
use crate::model::Code;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON of a request's body, of at most so many bytes; without a body, that
/// of an empty object.
pub(super) async fn read<T: DeserializeOwned>(
    body: web::Payload,
    most: usize,
) -> Result<T, Failure> {
    let whole = timeout(TIMEOUT, body.to_bytes_limited(most)).await.map_err(|_| {
        let message = format!("the body did not arrive within {TIMEOUT:?}");
        Failure::new(StatusCode::REQUEST_TIMEOUT, Code::BadMessage, message)
    })?;
    let whole = whole.map_err(|_| {
        let message = format!("the body is over {most} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message)
    })?;
    let whole = whole.map_err(|_| Failure::bad_request("the body did not arrive whole"))?;
    parse(if whole.is_empty() { b"{}" } else { &whole })
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    let not_json = |error: &serde_json::Error| {
        let message = format!("the body is not JSON: {error}");
        Failure::new(StatusCode::BAD_REQUEST, Code::BadJson, message)
    };
    let mut from = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match path.as_str() {
            _ if !error.is_data() => not_json(&error),
            "." => Failure::bad_request(format!("the body: {error}")),
            field => Failure::bad_request(format!("`{field}`: {error}")),
        }
    })?;
    from.end().map_err(|error| not_json(&error))?;
    Ok(value)
}
