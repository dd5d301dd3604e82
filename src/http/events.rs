//! `GET /events`: a session whose client only listens.
//!
//! The answer is an ordinary one, but its body gives nothing: when the HTTP
//! layer asks for the first of it, the head is written, and the session writes to
//! the socket by itself from there on, as it does after an upgrade. So what the
//! socket has not taken is known, and waits in the lanes and nowhere else. The
//! HTTP layer goes on reading, and lets go of the body as soon as the client is
//! gone.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_http::{
    ConnectionType,
    body::{BodySize, MessageBody},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{
    cors,
    entrance::{self, Entrant},
    failure::{Failure, Told},
};
use crate::{
    model::Code,
    net::{Origin, Socket},
    session::{Seed, Services, Worker},
    wire::Protocol,
};

/// What a browser says when it comes back: the last `id` that it read.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /events`. All that can be refused is refused before the head.
#[utoipa::path(
    get, path = "/events", tag = "open", operation_id = "events", security(("token" = [])),
    params(
        ("token" = Option<String>, Query, description = "The token, where no header can carry it"),
        ("room" = Option<Vec<String>>, Query, description = "Rooms to join"),
        ("last_event_id" = Option<Vec<String>>, Query, description = "`ROOM@EPOCH:SEQ`: where to resume"),
        ("session" = Option<String>, Query, description = "The session id to take over"),
    ),
    responses(
        (status = 200, description = "A stream of events, each a message of the protocol", body = String, content_type = "text/event-stream"),
        (status = 401, description = "No token, or one that is not accepted", body = Told),
        (status = 403, description = "Pages of this origin may not connect", body = Told),
        (status = 429, description = "Too many connections or attempts", body = Told),
        (status = 503, description = "The node is full, is draining, or cannot reach the others", body = Told),
    ),
)]
pub(super) async fn listen(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    let services = services.into_inner();
    entrance::opened(&request, &services, open(&request, &services)).await
}

async fn open(request: &HttpRequest, services: &Arc<Services>) -> Result<HttpResponse, Failure> {
    let later = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let entrant = Entrant::approach(request, services, later).await?;
    let socket = request.conn_data::<Origin>().and_then(Origin::socket).ok_or_else(|| {
        let message = "the connection cannot be written to";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message)
    })?;
    let answer = Answer {
        seed: Some(entrant.enter(services, Protocol::Events).await?),
        services: services.clone(),
        socket,
        silent: is_silent(request.query_string()),
        ends: None,
    };
    let mut response = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header(("x-accel-buffering", "no"))
        .body(answer);
    cors::let_read(request, response.headers_mut());
    // The end of the connection is the end of the answer.
    response.head_mut().set_connection_type(ConnectionType::Close);
    response.head_mut().no_chunking(true);
    Ok(response)
}

/// Whether the client keeps its places itself.
fn is_silent(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "ids" && value == "none")
}

/// The body of the answer.
struct Answer {
    /// None when the session runs.
    seed: Option<Seed>,
    services: Arc<Services>,
    socket: Rc<Socket>,
    silent: bool,
    ends: Option<Ends>,
}

/// What ties the answer and its session together.
struct Ends {
    /// The session knows by its being dropped that the client is gone.
    _gone: oneshot::Sender<Infallible>,
    /// Ends with the session.
    over: oneshot::Receiver<Infallible>,
}

impl MessageBody for Answer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let answer = &mut *self;
        if let Some(seed) = answer.seed.take() {
            let (gone, is_gone) = oneshot::channel();
            let (over, is_over) = oneshot::channel();
            let worker = Worker::current(&answer.services);
            seed.listen(worker, answer.socket.clone(), answer.silent, is_gone, over);
            answer.ends = Some(Ends { _gone: gone, over: is_over });
        }
        match &mut answer.ends {
            Some(ends) => ends.over.poll_unpin(cx).map(|_| None),
            None => Poll::Ready(None),
        }
    }
}
