//! What all calls have in common: who may make one, how its path, its query and
//! its body are read, and in what form it is answered.

use actix_web::{
    HttpRequest, HttpResponse, Route,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{keys::Backend, query::Query};
use crate::{
    config::{Limits, Scope},
    http::{body, failure::Failure},
    model::{Code, NameError, Problem, RoomName, UserId},
    session::Services,
};

/// Bodies of calls that say little.
const SMALL: usize = 4096;

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// What it holds is not looked at.
    None,
    /// It says little.
    Small,
    /// It has one message, which is bounded as a client's is.
    Message,
    /// It has one message, and a list of rooms.
    ToRooms,
    /// It has many messages.
    Messages,
}

impl Body {
    /// Whether it is something new to be written and handed on.
    fn is_work(self) -> bool {
        matches!(self, Self::Message | Self::ToRooms | Self::Messages)
    }

    fn most(self, limits: &Limits) -> usize {
        /// A list of as many rooms as a broadcast goes to, with all names long.
        const ROOMS: usize = 16 * 1024;
        match self {
            Self::None => 0,
            Self::Small => SMALL,
            Self::Message => limits.message_bytes.max(SMALL),
            Self::ToRooms => limits.message_bytes.max(SMALL) + ROOMS,
            Self::Messages => 16 * limits.message_bytes.max(SMALL),
        }
    }
}

/// The parts of a call's path, decoded; empty where it has no such part.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Path {
    room: String,
    user: String,
    pub(super) session: String,
    pub(super) key: String,
    pub(super) jti: String,
}

/// A call of a backend whose key allows it, with its body read.
pub(super) struct Call {
    pub(super) backend: Backend,
    request: HttpRequest,
    path: Path,
    body: Bytes,
}

/// Answers a call: checks the key for the scope, reads the body, and writes what
/// `act` answers as JSON.
pub(super) fn answer<A, F>(
    method: Route,
    scope: impl Into<Option<Scope>>,
    body: Body,
    act: fn(Call) -> F,
) -> Route
where
    A: Serialize,
    F: Future<Output = Result<A, Failure>> + 'static,
{
    let scope = scope.into();
    method.to(
        move |backend: Backend,
              request: HttpRequest,
              path: web::Path<Path>,
              payload: web::Payload| async move {
            if let Some(scope) = scope {
                backend.require(scope)?;
            }
            if body.is_work() {
                backend.require_room_for_work()?;
            }
            let body = match body {
                Body::None => Bytes::new(),
                body => {
                    body::whole(payload, body.most(&backend.services().settings.limits)).await?
                }
            };
            if !body.is_empty() {
                require_json(&request)?;
            }
            require_text(&request)?;
            let answer = act(Call { backend, request, path: path.into_inner(), body }).await?;
            Ok::<HttpResponse, Failure>(HttpResponse::Ok().json(answer))
        },
    )
}

/// What a path says in other bytes is not taken for something that is near it.
fn require_text(request: &HttpRequest) -> Result<(), Failure> {
    let decoded = percent_decode_str(request.path()).decode_utf8();
    decoded.map(drop).map_err(|_| Failure::bad_request("the path: expected UTF-8"))
}

/// A body that says it is something else is taken for that.
fn require_json(request: &HttpRequest) -> Result<(), Failure> {
    let Some(kind) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let shown: String = kind.chars().take(80).collect();
    let message = format!("`Content-Type`: expected `application/json`, got {shown:?}");
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadMessage, message))
}

impl Call {
    pub(super) fn services(&self) -> &Services {
        self.backend.services()
    }

    /// What the body says.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        body::parse(&self.body)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The room that the path names, which the key has to be for.
    pub(super) fn room(&self) -> Result<RoomName, Failure> {
        let room = RoomName::parse(&self.path.room).map_err(|error| bad_name("room", &error))?;
        self.backend.require_room(&room)?;
        Ok(room)
    }

    /// The user that the path names.
    pub(super) fn user(&self) -> Result<UserId, Failure> {
        UserId::parse(&self.path.user).map_err(|error| bad_name("user", &error))
    }

    pub(super) fn query(&self) -> Query {
        Query::read(&self.request)
    }

    /// A header's text; text that is none is none.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
    }
}

fn bad_name(what: &str, error: &NameError) -> Failure {
    name_problem(&format!("the {what} in the path"), error).into()
}

/// A name that is none, or one that nobody may use.
pub(super) fn name_problem(field: &str, error: &NameError) -> Problem {
    let code = match error {
        NameError::Reserved => Code::Forbidden,
        NameError::Invalid { .. } => Code::BadMessage,
    };
    Problem::new(code, format!("{field}: {error}"))
}
