//! What the OpenAPI document says of values: for those whose form is not told by a
//! type of this module's own. `tests/openapi` holds the server to it.

mod answers;
mod requests;

pub(super) use answers::{
    LogEntry, Member, Node, OutcomeShown, ReadRefusals, Refusals, SessionShown, StateShown,
    WriteRefusals,
};
pub(super) use requests::{
    Batch, Broadcast, Conditions, Cursor, Deletion, Key, Message, Number, Room, RoomPattern,
    Session, TokenId, User, Write,
};

use utoipa::openapi::{
    ObjectBuilder, RefOr, Schema,
    schema::{Ref, SchemaType, Type},
};

use crate::{
    model,
    wire::{KEY_CHARACTERS, NAME_CHARACTERS},
};

/// Whole numbers up to here are the same in every program.
const EXACT: u64 = 1 << 53;

/// No control characters, and not blanks alone.
const GUEST_NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f]\
                          [^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// A type that stands for a schema alone.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident $as:literal = $schema:expr;)*) => {
        $($(#[$doc])*
        pub(in crate::http) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $as.into()
            }
        })*
    };
}
use schemas;

fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

fn typed(types: impl IntoIterator<Item = Type>) -> ObjectBuilder {
    let types: Vec<Type> = types.into_iter().collect();
    let types = match <[Type; 1]>::try_from(types) {
        Ok([one]) => SchemaType::Type(one),
        Err(several) => SchemaType::Array(several),
    };
    ObjectBuilder::new().schema_type(types)
}

fn any() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}

fn null() -> ObjectBuilder {
    typed([Type::Null])
}

fn constant(text: &str) -> ObjectBuilder {
    typed([Type::String]).enum_values(Some([text]))
}

fn object() -> ObjectBuilder {
    typed([Type::Object])
}

fn number(types: impl IntoIterator<Item = Type>) -> ObjectBuilder {
    typed(types).minimum(Some(0_u64)).maximum(Some(EXACT))
}

fn short(types: impl IntoIterator<Item = Type>, most: usize) -> ObjectBuilder {
    typed(types).min_length(Some(1)).max_length(Some(most))
}

fn user_of(types: impl IntoIterator<Item = Type>) -> ObjectBuilder {
    short(types, model::NAME_CHARACTERS)
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
        .description(Some("A user: 1 to 128 characters, none of them a control character"))
}

/// The name a guest takes.
pub(super) fn guest_name() -> ObjectBuilder {
    short([Type::String], 64).pattern(Some(GUEST_NAME))
}

/// A room's name.
pub(super) fn room() -> ObjectBuilder {
    short([Type::String], model::NAME_CHARACTERS)
        .pattern(Some("^[A-Za-z0-9_.:/-]+$"))
        .description(Some("A room's name"))
}

/// A session's id.
pub(super) fn session() -> ObjectBuilder {
    typed([Type::String]).pattern(Some("^[0-9a-f]{48}$")).description(Some("A session's id"))
}

/// A user's id.
pub(super) fn user() -> ObjectBuilder {
    user_of([Type::String])
}

fn nullable_user() -> ObjectBuilder {
    user_of([Type::String, Type::Null])
}

fn nullable_nonce() -> ObjectBuilder {
    let description = "The writer's key against doubling: within `rooms.dedup_window` what the \
                       same user, or nobody, writes to the room under it is appended once";
    short([Type::String, Type::Null], KEY_CHARACTERS).description(Some(description))
}

/// The name of an event or of a key.
pub(super) fn name() -> ObjectBuilder {
    short([Type::String], NAME_CHARACTERS)
}

/// The same, or null.
pub(super) fn nullable_name() -> ObjectBuilder {
    short([Type::String, Type::Null], NAME_CHARACTERS)
}

/// Any text, or null.
pub(super) fn nullable_text() -> ObjectBuilder {
    typed([Type::String, Type::Null])
}

/// The name of one life of a log.
pub(super) fn epoch() -> ObjectBuilder {
    typed([Type::String]).pattern(Some("^[0-9a-f]{16}$")).description(Some("One life of a log"))
}

/// A whole number.
pub(super) fn count() -> ObjectBuilder {
    number([Type::Integer])
}

/// The same, or null.
pub(super) fn nullable_count() -> ObjectBuilder {
    number([Type::Integer, Type::Null])
}

/// A point in time, or null.
pub(super) fn nullable_time() -> ObjectBuilder {
    nullable_count().description(Some("Milliseconds since the Unix epoch"))
}

/// A point in time.
fn time() -> ObjectBuilder {
    count().description(Some("Milliseconds since the Unix epoch"))
}

/// A place in a log.
pub(super) fn seq() -> ObjectBuilder {
    count().minimum(Some(1_u64)).description(Some("A place in a log"))
}

/// How often a second.
pub(super) fn rate() -> ObjectBuilder {
    typed([Type::Number]).minimum(Some(0_u64))
}

/// Whether a user is there, and how.
pub(super) fn availability() -> ObjectBuilder {
    typed([Type::String]).enum_values(Some(["online", "away", "busy", "offline"]))
}

/// An error's code.
pub(super) fn code() -> ObjectBuilder {
    typed([Type::String]).enum_values(Some([
        "bad_json",
        "bad_message",
        "unknown_type",
        "forbidden",
        "not_found",
        "too_large",
        "rate_limited",
        "conflict",
        "unavailable",
        "internal",
        "unauthorized",
        "origin_not_allowed",
    ]))
}

/// What a key holds, as a conflict tells it.
pub(super) fn current() -> ObjectBuilder {
    object()
        .description(Some("What the key holds: null and 0 where it does not exist"))
        .property("value", any())
        .property("version", count())
        .required("value")
        .required("version")
}
