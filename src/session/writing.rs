//! What a session and a backend do alike.

use std::sync::Arc;

use crate::{
    broker::{Broker, PublishError, Receipt},
    model::{Author, Body, Code, Draft, Payload, Problem, RoomName, Transient, UserId, wall_clock},
};

/// A message to a user's inbox, and then a copy to the sender's own sessions.
///
/// # Errors
/// [`PublishError`] where the broker cannot do one of the two now.
pub async fn direct(
    broker: &dyn Broker,
    author: Author,
    to: UserId,
    payload: Payload,
    nonce: Option<Arc<str>>,
) -> Result<Receipt, PublishError> {
    let inbox = RoomName::inbox(&to);
    let from = author.user.clone();
    let body = Body::Direct { to: to.clone(), payload: payload.clone() };
    let draft = Draft { author, body, nonce: nonce.clone(), if_version: None };
    let receipt = broker.publish(&inbox, draft).await?;
    if let Some(from) = from.filter(|from| !receipt.duplicate && *from != to) {
        let own = RoomName::inbox(&from);
        let copy = Transient::DirectCopy { from, to, payload, timestamp: wall_clock(), nonce };
        broker.relay(&own, copy).await?;
    }
    Ok(receipt)
}

/// Why something was not appended, as the writer is told; `version` is what the
/// writer named the version of a key in.
pub fn publish_problem(error: PublishError, version: &str) -> Problem {
    let message = error.to_string();
    match error {
        PublishError::Unavailable(error) => error.into(),
        PublishError::Conflict(current) => {
            let message = format!("`{version}`: {message}");
            Problem::new(Code::Conflict, message).with_current(current)
        }
        PublishError::StateFull(_) => Problem::new(Code::TooLarge, message),
    }
}
