use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use actix_web_actors::ws;

use super::{
    Upgradable, call_id,
    credentials::offers,
    entrance::{self, Entrant},
    failure::{Failure, Told},
    peer,
};
use crate::{
    model::{Code, Epoch, NameError, Problem, RoomName, Seq},
    session::{Role, Seed, Services},
    wire::{Command, Incoming, Protocol, Since},
};

/// `GET /ws`: a session for whom the token stands for. All that can be refused
/// is refused here, before the upgrade.
#[utoipa::path(
    get, path = "/ws", tag = "open", operation_id = "ws", security(("token" = [])),
    params(
        ("token" = Option<String>, Query, description = "The token, where no header can carry it"),
        ("room" = Option<Vec<String>>, Query, description = "Rooms to join"),
        ("last_event_id" = Option<Vec<String>>, Query, description = "`ROOM@EPOCH:SEQ`: where to resume"),
        ("session" = Option<String>, Query, description = "The session id to take over"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 401, description = "No token, or one that is not accepted", body = Told),
        (status = 403, description = "Pages of this origin may not connect", body = Told),
        (status = 426, description = "This is no handshake of a WebSocket", body = Told),
        (status = 429, description = "Too many connections or attempts", body = Told),
        (status = 503, description = "The node is full, is draining, or cannot reach the others", body = Told),
    ),
)]
pub(super) async fn member(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    entrance::opened(&request, &services, open_member(&request, &services)).await
}

async fn open_member(
    request: &HttpRequest,
    services: &Arc<Services>,
) -> Result<HttpResponse, Failure> {
    let entrant = Entrant::approach(request, services, None).await?;
    let (protocol, subprotocol) = Protocol::negotiate(offers(request));
    let mut response = handshake(request)?;
    if let Some(subprotocol) = subprotocol {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, subprotocol));
    }
    let seed = entrant.enter(services, protocol).await?;
    Ok(sown(response.finish(), seed))
}

/// `GET /ws/echo`: says back what it is told, by the same socket code.
pub(super) async fn echo(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Failure> {
    entrance::opened(&request, &services, open_echo(&request, &services)).await
}

async fn open_echo(request: &HttpRequest, services: &Services) -> Result<HttpResponse, Failure> {
    let address = peer::approach(request, services).await?;
    let response = handshake(request)?.finish();
    let permit = services.registry.admit(address, None, None).await?;
    let call = call_id::of(request);
    Ok(sown(response, Seed { call, permit, role: Role::Echo, protocol: Protocol::Json }))
}

/// Puts the seed of the session beside the answer, for
/// [`upgrade`](super::upgrade) to find.
pub(super) fn sown(mut response: HttpResponse, seed: Seed) -> HttpResponse {
    response.extensions_mut().insert(seed);
    response
}

pub(super) fn handshake(request: &HttpRequest) -> Result<actix_web::HttpResponseBuilder, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        let message = format!("expected a WebSocket handshake: {error}");
        let status = StatusCode::UPGRADE_REQUIRED;
        Failure::new(status, Code::BadMessage, message)
    };
    if request.app_data::<Upgradable>() != Some(&Upgradable::Yes) {
        return Err(refused(&"the request does not ask for `Upgrade: websocket`, or has a body"));
    }
    // Stricter than the handshake itself: it looks at the key as well.
    actix_http::ws::verify_handshake(request.head()).map_err(|error| refused(&error))?;
    ws::handshake(request).map_err(|error| refused(&error))
}

/// What a client asks for in the query while connecting.
pub(super) struct Wishes {
    pub(super) requests: Vec<Incoming>,
    pub(super) session: Option<String>,
}

impl Wishes {
    /// Of rooms over the limit one is kept, for the session to refuse. Where the
    /// client knows later places than those of its query, these hold.
    pub(super) fn read(query: &str, later: Option<&str>, limit: usize) -> Self {
        let mut rooms: Vec<String> = Vec::new();
        let mut places: Vec<(String, Since)> = later.map_or_else(Vec::new, read_places);
        let later = !places.is_empty();
        let mut session = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "room" => rooms.push(value.into_owned()),
                "last_event_id" if !later => places.extend(read_places(&value)),
                "session" => session = Some(value.into_owned()),
                _ => {}
            }
        }
        // A place without its room can only mean that room.
        for (room, _) in &places {
            if !rooms.contains(room) {
                rooms.push(room.clone());
            }
        }
        rooms.truncate(limit.saturating_add(1));
        let since = |room: &String| places.iter().find(|(it, _)| it == room).map(|(_, it)| *it);
        let requests = rooms.iter().map(|room| join(room, since(room))).collect();
        Self { requests, session }
    }

    /// Rooms to join besides, where the client itself did not ask for them.
    pub(super) fn add(&mut self, rooms: &[RoomName]) {
        for added in rooms {
            let is_asked_for = |request: &Incoming| matches!(&request.command, Ok(Command::Join { room, .. }) if room == added);
            if !self.requests.iter().any(is_asked_for) {
                self.requests.push(join(added.as_str(), None));
            }
        }
    }
}

/// Places with commas between them, as the ids of events have them.
fn read_places(text: &str) -> Vec<(String, Since)> {
    text.split(',').filter_map(read_place).collect()
}

/// `ROOM@EPOCH:SEQ`, as [`Wishes`] and the ids of events have it.
fn read_place(text: &str) -> Option<(String, Since)> {
    let (room, place) = text.rsplit_once('@')?;
    let (epoch, seq) = place.split_once(':')?;
    let seq: Seq = seq.parse().ok()?;
    Some((room.to_owned(), Since { epoch: Epoch::parse(epoch), seq }))
}

fn join(room: &str, since: Option<Since>) -> Incoming {
    let command = RoomName::parse(room)
        .map(|room| Command::Join { room, since, history: None, listen: true })
        .map_err(|error| {
            let code = match error {
                NameError::Reserved => Code::Forbidden,
                NameError::Invalid { .. } => Code::BadMessage,
            };
            Problem::new(code, format!("`room`: {error}"))
        });
    Incoming { id: None, command }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_rooms_places_and_the_session() {
        let epoch = Epoch::random();
        let id = "theirs";
        let query = format!("room=a&room=d%3Aeu&last_event_id=d%3Aeu@{epoch}:7&session={id}&x=1");
        let Wishes { requests, session } = Wishes::read(&query, None, 10);
        assert_eq!(session.as_deref(), Some(id));
        let Ok(Command::Join { room, since, .. }) = &requests[1].command else { panic!() };
        assert_eq!(room.as_str(), "d:eu");
        assert_eq!(*since, Some(Since { epoch: Some(epoch), seq: 7 }));
        let Ok(Command::Join { since: None, .. }) = &requests[0].command else { panic!() };
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn rooms_over_the_limit_are_told_once() {
        let query: String = (0..1000).map(|n| format!("room=r{n}&")).collect();
        assert_eq!(Wishes::read(&query, None, 3).requests.len(), 4);
    }

    #[test]
    fn a_place_alone_names_its_room_and_a_bad_room_is_told() {
        let requests =
            Wishes::read("last_event_id=lobby@old:3&room=@bob&last_event_id=nonsense", None, 10)
                .requests;
        let Err(problem) = &requests[0].command else { panic!() };
        assert_eq!(problem.code, Code::Forbidden);
        let Ok(Command::Join { since, .. }) = &requests[1].command else { panic!() };
        assert_eq!(*since, Some(Since { epoch: None, seq: 3 }));
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn a_later_place_stands_in_for_those_of_the_query() {
        let epoch = Epoch::random();
        let query = format!("room=a&last_event_id=a@{epoch}:1,b@{epoch}:1");
        let later = format!("b@{epoch}:5,a@{epoch}:4");
        let seqs = |later: Option<&str>| {
            let requests = Wishes::read(&query, later, 10).requests;
            let since = |request: &Incoming| match &request.command {
                Ok(Command::Join { room, since: Some(since), .. }) => (room.to_string(), since.seq),
                other => panic!("{other:?}"),
            };
            requests.iter().map(since).collect::<Vec<_>>()
        };
        assert_eq!(seqs(None), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert_eq!(seqs(Some(&later)), [("a".to_owned(), 4), ("b".to_owned(), 5)]);
        assert_eq!(seqs(Some("nonsense")), seqs(None));
    }
}
