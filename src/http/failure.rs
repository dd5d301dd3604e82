use std::{fmt, time::Duration};

use actix::MailboxError;
use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;

use crate::{
    auth::AuthError,
    broker::Unavailable,
    cluster::Unreachable,
    model::{Code, Current, Problem},
    session::{Refused, Unordered},
    shedding::Cause,
};

/// How long a client that finds the node full or draining should wait, at least.
const BUSY: Duration = Duration::from_secs(5);

/// Over how many seconds more such clients are spread, who were refused together.
const SPREAD: u64 = 6;

/// The same where the other nodes cannot be reached.
const AWAY: Duration = Duration::from_secs(1);

/// A request that was not fulfilled, as the client is told:
/// `{"error": {"code", "message"}}` with a fitting status.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    /// Boxed, so that what goes well does not carry its size along.
    problem: Box<Problem>,
    /// The methods that are answered, where the one that came is not.
    allow: Option<&'static str>,
    /// What it is counted as, where the status does not say.
    cause: Option<&'static str>,
}

/// The form in which anything that was not done is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Told {
    error: Error,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct Error {
    /// For programs.
    #[schema(schema_with = schema::code)]
    code: Code,
    /// For people: the field, what came and what was expected.
    message: String,
    /// With `conflict`: what the key holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::current, required = false)]
    current: Option<Current>,
}

impl From<Problem> for Told {
    fn from(Problem { code, message, current, .. }: Problem) -> Self {
        Self { error: Error { code, message, current } }
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let problem = Box::new(Problem::new(code, message));
        Self { status, problem, allow: None, cause: None }
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadMessage, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, message)
    }

    pub(super) fn method(allow: &'static str) -> Self {
        let message = format!("this is answered to {allow} alone");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { allow: Some(allow), ..Self::new(status, Code::NotFound, message) }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.problem.retry_after = Some(after);
        self
    }

    /// The same, found in this part of what came.
    pub(super) fn within(mut self, place: &str) -> Self {
        self.problem.message.insert_str(0, place);
        self
    }

    /// The same, counted as this.
    pub(super) fn because(self, cause: &'static str) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// A word for metrics, where this refuses an upgrade.
    pub(super) fn cause(&self) -> &'static str {
        self.cause.unwrap_or(match self.status {
            StatusCode::UNAUTHORIZED => "token",
            StatusCode::FORBIDDEN => "origin",
            StatusCode::UPGRADE_REQUIRED => "handshake",
            _ => "other",
        })
    }
}

fn spread() -> Duration {
    BUSY + Duration::from_secs(getrandom::u64().unwrap_or_default() % SPREAD)
}

/// New work is refused.
impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        let what = match cause {
            Cause::Connections => "many connections",
            Cause::OpenFiles => "many open files",
            Cause::Memory => "much in memory",
            Cause::WorkerDelay => "much to do",
        };
        let message = format!("the node takes nothing new now: it has too {what}");
        Self::unavailable(message).retry_after(spread()).because(cause.word())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let too_many =
            |message| Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
        let failure = match refused {
            Refused::Full => Self::unavailable("the node has as many connections as it may")
                .retry_after(spread()),
            Refused::Draining => {
                Self::unavailable("the node is shutting down").retry_after(spread())
            }
            Refused::Overloaded(cause) => cause.into(),
            Refused::Address => {
                too_many("too many connections are open from this address").retry_after(BUSY)
            }
            Refused::User => {
                too_many("too many connections of this user are open").retry_after(BUSY)
            }
            Refused::TooOften(wait) => {
                too_many("too many attempts to connect from this address").retry_after(wait)
            }
            Refused::UserTooOften(wait) => {
                too_many("too many attempts to connect of this user").retry_after(wait)
            }
            Refused::Revoked => Self::unauthorized(AuthError::Revoked.to_string()),
            Refused::Unreachable => Unreachable.into(),
        };
        Self { cause: Some(refused.cause()), ..failure }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = match problem.code {
            Code::Unauthorized | Code::TokenRejected => StatusCode::UNAUTHORIZED,
            Code::Forbidden | Code::NotJoined | Code::OriginNotAllowed => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict | Code::RoomFull | Code::TooManyRooms => StatusCode::CONFLICT,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Code::BadJson | Code::BadMessage | Code::UnknownType => StatusCode::BAD_REQUEST,
        };
        Self { status, problem: Box::new(problem), allow: None, cause: None }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        *failure.problem
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Problem::from(unavailable).into()
    }
}

/// Presence is gone only after a defect, and the node takes no clients then.
impl From<MailboxError> for Failure {
    fn from(_: MailboxError) -> Self {
        Self::unavailable("the node cannot say now who is where").retry_after(AWAY)
    }
}

impl From<Unreachable> for Failure {
    fn from(unreachable: Unreachable) -> Self {
        Self::unavailable(unreachable.to_string()).retry_after(AWAY)
    }
}

impl From<Unordered> for Failure {
    fn from(unordered: Unordered) -> Self {
        match unordered {
            Unordered::Unreachable(unreachable) => unreachable.into(),
            Unordered::Unstored(unavailable) => unavailable.into(),
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
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
            response.insert_header((header::UPGRADE, "websocket"));
            response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
        }
        response.json(Told::from((*self.problem).clone()))
    }
}
