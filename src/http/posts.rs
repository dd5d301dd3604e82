//! `POST /api/v1/client/{session}`: what a client says to its session that came
//! by `GET /events`.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::value::RawValue;

use super::{
    body, cors, credentials,
    failure::{Failure, Told},
    origin,
};
use crate::{
    cluster::{Attempt, Posted},
    model::{Code, SessionId},
    session::{POSTED, Services},
};

/// How many messages of the full size one body may hold.
const FULL_SIZED: usize = 4;

/// How long a client waits whose session takes no more.
const BUSY: Duration = Duration::from_secs(1);

/// Takes one message, or an array of them, as if they had come over the
/// session's socket.
#[utoipa::path(
    post, path = "/api/v1/client/{session}", tag = "open", operation_id = "say",
    security(("token" = [])),
    params(("session" = String, Path, description = "The id in the stream's `welcome`")),
    request_body(
        content = serde_json::Value,
        description = "A message of a client, or an array of up to 32",
        example = json!({"type": "chat", "room": "lobby", "content": "hello", "id": 1}),
    ),
    responses(
        (status = 202, description = "Taken; replies come over the stream", body = serde_json::Value),
        (status = 400, description = "The body is not JSON", body = Told),
        (status = 401, description = "No token, or one that is not accepted", body = Told),
        (status = 403, description = "Pages of this origin may not ask", body = Told),
        (status = 404, description = "The user has no such session with a stream", body = Told),
        (status = 408, description = "The body did not arrive", body = Told),
        (status = 413, description = "The body, or a message, is too large", body = Told),
        (status = 429, description = "The session takes no more now", body = Told),
        (status = 503, description = "The other nodes cannot be reached, or did not answer", body = Told),
    ),
)]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    path: web::Path<String>,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    origin::check(&request, &services)?;
    let identity = credentials::identity(&request, &services)?;
    let user = &identity.profile.user;
    let unknown = || Failure::not_found("this user has no such session, or not by `GET /events`");
    let session = SessionId::parse(&path, user.as_str()).ok_or_else(unknown)?;
    let most = services.settings.limits.message_bytes;
    let body = body::whole(payload, most.saturating_mul(FULL_SIZED)).await?;
    let messages = messages(body::raw(&body)?, most)?;

    let registry = &services.registry;
    let posted = match registry.post_here(&session, messages.clone()) {
        Some(posted) => posted.await,
        None => {
            // All nodes are asked; a user may have that so often.
            registry.attempt(Attempt::User(user)).await?;
            registry.post_elsewhere(user, &session, &messages).await?
        }
    };
    match posted {
        Posted::Taken => {
            let mut answer = HttpResponse::Accepted().json(serde_json::Map::new());
            cors::let_read(&request, answer.headers_mut());
            Ok(answer)
        }
        Posted::Unknown => Err(unknown()),
        Posted::Busy => {
            let message = "the session has as many requests to answer as it may";
            let status = StatusCode::TOO_MANY_REQUESTS;
            Err(Failure::new(status, Code::RateLimited, message).retry_after(BUSY))
        }
    }
}

/// The texts of the messages, each of at most so many bytes.
fn messages(body: &RawValue, most: usize) -> Result<Vec<Box<str>>, Failure> {
    let texts: Vec<Box<str>> = if body.get().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(body.get())
            .map_err(|error| Failure::bad_request(format!("the body: {error}")))?;
        list.into_iter().map(|message| message.get().into()).collect()
    } else {
        vec![body.get().into()]
    };
    let too_large = |message| Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message);
    if texts.len() > POSTED {
        let count = texts.len();
        return Err(too_large(format!(
            "the body has {count} messages, at most {POSTED} are allowed"
        )));
    }
    if let Some((at, text)) = texts.iter().enumerate().find(|(_, text)| text.len() > most) {
        let bytes = text.len();
        return Err(too_large(format!(
            "message {at} of the body has {bytes} bytes, at most {most} are allowed"
        )));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<String>, String> {
        let raw: &RawValue = serde_json::from_str(body).unwrap();
        let messages = messages(raw, 20).map_err(|failure| failure.to_string())?;
        Ok(messages.into_iter().map(String::from).collect())
    }

    #[test]
    fn a_body_is_a_message_or_a_list_of_them() {
        let message = r#"{"type": "ping"}"#;
        assert_eq!(read(message).unwrap(), [message]);
        assert_eq!(read(&format!("[ {message} ,1]")).unwrap(), [message, "1"]);
        assert!(read("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_too_much_is_told() {
        let long = format!("[1, \"{}\"]", "x".repeat(20));
        assert!(read(&long).unwrap_err().contains("message 1 of the body has 22 bytes"));
        let many = format!("[{}0]", "0,".repeat(POSTED));
        assert!(read(&many).unwrap_err().contains("33 messages, at most 32"));
    }
}
