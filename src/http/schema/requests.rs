//! What may come.

use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{AllOfBuilder, ArrayBuilder, OneOfBuilder, Type},
    },
};

use super::{
    any, constant, count, name, named, null, nullable_count, nullable_nonce, nullable_user, object,
    room, schemas, session, short, typed, user,
};
use crate::http::limits::{MOST_COMMANDS, MOST_ROOMS};

schemas! {
    /// A room, in a path.
    Room "Room" = room();
    /// A user, in a path.
    User "User" = user();
    /// A key of the state, in a path.
    Key "Key" = name();
    /// A session, in a path.
    Session "Session" = session();
    /// A token's `jti`, in a path.
    TokenId "TokenId" = short([Type::String], 1024);
    /// A whole number, in a query.
    Number "Number" = count();
    /// Where a list goes on, in a query.
    Cursor "Cursor" = typed([Type::String])
        .pattern(Some("^[0-9]{1,9}~[0-9]{1,19}(~[A-Za-z0-9_.:/-]{1,128})*$"));
    /// Rooms by their form, in a query.
    RoomPattern "RoomPattern" = short([Type::String], 256).pattern(Some("^[A-Za-z0-9_.:/@*-]+$"));
    /// What is said.
    Message "Message" = message();
    /// The same, to several rooms.
    Broadcast "Broadcast" = AllOfBuilder::new().item(rooms()).item(named("Message"));
    /// Several commands.
    Batch "Batch" = batch();
    /// A write to the state.
    Write "Write" = writer().property("value", any().description(Some("Any JSON; null deletes the key")))
        .required("value");
    /// A deletion.
    Deletion "Deletion" = writer();
}

/// Who writes, and the nonce.
fn writer() -> ObjectBuilder {
    let author = "In whose name it is written; null where it is left out";
    object()
        .property("user", nullable_user().description(Some(author)))
        .property("nonce", nullable_nonce())
}

/// `content`, or `event` with `data`.
fn message() -> AllOfBuilder {
    let text = object()
        .description(Some("Text"))
        .property("content", typed([Type::String]))
        .property("event", null())
        .required("content");
    let event = object()
        .description(Some("An event of the application"))
        .property("event", name())
        .property("data", any().description(Some("Any JSON, null included")))
        .property("content", null())
        .required("event")
        .required("data");
    AllOfBuilder::new().item(writer()).item(OneOfBuilder::new().item(text).item(event))
}

fn rooms() -> ObjectBuilder {
    let rooms = ArrayBuilder::new()
        .items(room())
        .min_items(Some(1))
        .max_items(Some(MOST_ROOMS))
        .unique_items(true);
    object().property("rooms", rooms).required("rooms")
}

fn batch() -> ObjectBuilder {
    let said = |kind: &str, to: &str, target: ObjectBuilder| {
        let command = object()
            .property("type", constant(kind))
            .property(to, target)
            .required("type")
            .required(to);
        AllOfBuilder::new().item(command).item(named("Message"))
    };
    let set = object()
        .property("type", constant("set"))
        .property("room", room())
        .property("key", name())
        .property("if_version", nullable_count())
        .required("type")
        .required("room")
        .required("key");
    let set = AllOfBuilder::new().item(set).item(named("Write"));
    let command = OneOfBuilder::new().item(said("publish", "room", room())).item(set).item(said(
        "direct",
        "to",
        user(),
    ));
    let commands =
        ArrayBuilder::new().items(command).min_items(Some(1)).max_items(Some(MOST_COMMANDS));
    object().property("commands", commands).required("commands")
}

/// The headers of a write to the state.
pub(in crate::http) enum Conditions {}

impl IntoParams for Conditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The version that the key has to have, quoted or bare: the `seq` of its \
                           last write, 0 for \"must not exist\"";
        let version = typed([Type::String]).pattern(Some("^([0-9]{1,15}|\"[0-9]{1,15}\")$"));
        let header = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(RefOr::<Schema>::from(version)));
        vec![header.build()]
    }
}
