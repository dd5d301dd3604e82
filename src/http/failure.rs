use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;

use crate::{
    model::{Code, Problem},
    session::Refused,
};

/// How long a client that finds the node full or draining should wait.
const BUSY: Duration = Duration::from_secs(5);

/// A request that was not fulfilled, as the client is told:
/// `{"error": {"code", "message"}}` with a fitting status.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    problem: Problem,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: Code,
    message: &'a str,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, problem: Problem::new(code, message) }
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadMessage, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, message)
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.problem.retry_after = Some(after);
        self
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let too_many =
            |message| Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
        let unavailable =
            |message| Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message);
        match refused {
            Refused::Full => {
                unavailable("the node has as many connections as it may").retry_after(BUSY)
            }
            Refused::Draining => unavailable("the node is shutting down").retry_after(BUSY),
            Refused::Address => {
                too_many("too many connections are open from this address").retry_after(BUSY)
            }
            Refused::User => {
                too_many("too many connections of this user are open").retry_after(BUSY)
            }
            Refused::TooOften(wait) => {
                too_many("too many attempts to connect from this address").retry_after(wait)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(after) = self.problem.retry_after {
            // Whole seconds, and never "at once".
            response
                .insert_header((header::RETRY_AFTER, after.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
            response.insert_header((header::UPGRADE, "websocket"));
            response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
        }
        let error = Error { code: self.problem.code, message: &self.problem.message };
        response.json(Body { error })
    }
}
