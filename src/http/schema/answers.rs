//! What may be answered.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses,
    openapi::{
        HeaderBuilder, ObjectBuilder, RefOr, Response, ResponseBuilder, Schema,
        content::ContentBuilder,
        schema::{AnyOfBuilder, ArrayBuilder, OneOfBuilder, Type},
    },
};

use super::{
    any, constant, count, name, named, nullable_user, object, rate, room, schemas, seq, session,
    time, typed, user,
};

schemas! {
    /// An entry of a log, as clients see it.
    LogEntry "LogEntry" = log_entry();
    /// A user in a room.
    Member "Member" = member();
    /// A node as it says of itself.
    Node "Node" = node();
    /// One session of a user.
    SessionShown "SessionEntry" = session_shown();
    /// What became of one of several.
    OutcomeShown "Outcome" = outcome();
    /// Keys with their values and versions.
    StateShown "StateEntries" = object()
        .property_names(Some(Schema::from(name().build())))
        .additional_properties(Some(RefOr::<Schema>::from(held())));
}

fn held() -> ObjectBuilder {
    all(object().property("value", any()).property("version", seq()), ["value", "version"])
}

fn all<const N: usize>(object: ObjectBuilder, names: [&str; N]) -> ObjectBuilder {
    names.into_iter().fold(object, ObjectBuilder::required)
}

fn log_entry() -> OneOfBuilder {
    let entry = |kind: &str| {
        let entry = object()
            .property("type", constant(kind))
            .property("room", room())
            .property("seq", seq())
            .property("user", nullable_user())
            .property("timestamp", time());
        all(entry, ["type", "room", "seq", "user", "timestamp"])
    };
    let chat = entry("chat").property("content", typed([Type::String]));
    let event = entry("event").property("event", name()).property("data", any());
    let set =
        entry("set").property("key", name()).property("value", any()).property("version", seq());
    OneOfBuilder::new()
        .item(all(chat, ["content"]))
        .item(all(event, ["event", "data"]))
        .item(all(set, ["key", "value", "version"]))
}

fn member() -> ObjectBuilder {
    let member = object()
        .description(Some("A user in a room, however many sessions it has there"))
        .property("user", user())
        .property("name", typed([Type::String]))
        .property("status", typed([Type::String]).enum_values(Some(["online", "away", "busy"])))
        .property("sessions", count())
        .property("since", time())
        .property("meta", any());
    all(member, ["user", "name", "status", "sessions", "since", "meta"])
}

fn session_shown() -> ObjectBuilder {
    let rooms = ArrayBuilder::new().items(room());
    let shown = object()
        .description(Some("A session of a user"))
        .property("node", typed([Type::String]))
        .property("session", session())
        .property("since", time())
        .property("transport", typed([Type::String]).enum_values(Some(["websocket", "events"])))
        .property("rooms", rooms.description(Some("At most 100 of them")))
        .property("room_count", count());
    all(shown, ["node", "session", "since", "transport", "rooms", "room_count"])
}

fn node() -> ObjectBuilder {
    let flag = || typed([Type::Boolean]);
    let node = object()
        .description(Some("A node as it says of itself"))
        .property("node", typed([Type::String]))
        .property("version", typed([Type::String]))
        .property("started_at", time())
        .property("reported_at", time())
        .property("ready", flag().description(Some("Whether it takes new clients")))
        .property("draining", flag())
        .property("connections", count())
        .property("max_connections", count())
        .property("users", count())
        .property("rooms", count().description(Some("Rooms that its users are in")))
        .property("messages", count().description(Some("Messages and writes it took")))
        .property("messages_per_second", rate())
        .property(
            "issuers_ahead_ms",
            count().description(Some("How far the clocks of those who sign tokens are ahead")),
        );
    let names =
        ["node", "version", "started_at", "reported_at", "ready", "draining", "connections"];
    let figures = [
        "max_connections",
        "users",
        "rooms",
        "messages",
        "messages_per_second",
        "issuers_ahead_ms",
    ];
    all(all(node, names), figures)
}

fn outcome() -> AnyOfBuilder {
    let refused = object()
        .description(Some("It was not done"))
        .property("room", room())
        .property("error", named("ErrorDetail"))
        .required("error");
    AnyOfBuilder::new()
        .item(named("Published"))
        .item(named("Kept"))
        .item(named("Delivered"))
        .item(refused)
}

type Responses = BTreeMap<String, RefOr<Response>>;

/// By what status, with what code, and when a call is refused.
const GATE: [(u16, &str, &str); 4] = [
    (401, "unauthorized", "No key, or one that is not known"),
    (
        403,
        "forbidden",
        "The key has not the scope, or is not for this room; or the room's name is reserved",
    ),
    (404, "not_found", "No key is configured: there is no backend API"),
    (
        503,
        "unavailable",
        "The broker or the other nodes cannot be reached; whether it was done is not known",
    ),
];
const READ: [(u16, &str, &str); 1] =
    [(400, "bad_message", "Something does not fit; the message names it")];
const BODY: [(u16, &str, &str); 3] = [
    (408, "bad_message", "The body did not arrive within 10 s"),
    (413, "too_large", "The body, or a message in it, is too large, or the room's state would be"),
    (415, "bad_message", "The body says that it is not JSON"),
];

fn refusals(all: impl IntoIterator<Item = (u16, &'static str, &'static str)>) -> Responses {
    let refusal = |(status, code, when): (u16, &str, &str)| {
        let message = json!({"error": {"code": code, "message": "what is wrong, for people"}});
        let content =
            ContentBuilder::new().schema(Some(named("Error"))).example(Some(message)).build();
        let mut response = ResponseBuilder::new()
            .description(format!("`{code}`: {when}"))
            .content("application/json", content);
        if status == 503 {
            let seconds = count().minimum(Some(1_u64)).build();
            let wait =
                HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait"));
            response = response.header("Retry-After", wait.build());
        }
        if status == 401 {
            let scheme = HeaderBuilder::new().schema(Some(constant("Bearer").build()));
            response = response.header("WWW-Authenticate", scheme.build());
        }
        (status.to_string(), RefOr::T(response.build()))
    };
    all.into_iter().map(refusal).collect()
}

/// Of calls in which nothing can be wrong.
pub(in crate::http) enum Refusals {}

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        refusals(GATE)
    }
}

/// Of calls without a body.
pub(in crate::http) enum ReadRefusals {}

impl IntoResponses for ReadRefusals {
    fn responses() -> Responses {
        refusals(GATE.into_iter().chain(READ))
    }
}

/// Of calls with a body.
pub(in crate::http) enum WriteRefusals {}

impl IntoResponses for WriteRefusals {
    fn responses() -> Responses {
        refusals(GATE.into_iter().chain(READ).chain(BODY))
    }
}
