use std::sync::Arc;

use actix_web::http::header;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    call::Call,
    fields::{EXACT, Fields, Value, bad, check_short},
    writing::{self, Kept, Set},
};
use crate::{
    broker::StateRequest,
    http::{
        failure::{Failure, Told},
        schema::{self, Conditions, Deletion, ReadRefusals, StateShown, Write, WriteRefusals},
    },
    model::{Current, Epoch, RoomName, Seq, StateEntry},
    wire::NAME_CHARACTERS,
};

/// A page holds so many keys at most, and where the query does not say.
const MOST: usize = 1000;

/// What a call names the version of a key in.
const IF_MATCH: &str = "If-Match";

/// A part of a room's shared state, in the order of the keys' bytes.
#[derive(Serialize, ToSchema)]
pub(super) struct State {
    #[schema(schema_with = schema::room)]
    room: RoomName,
    /// The life of the log; of a room that nobody ever wrote to, a new one each time.
    #[schema(schema_with = schema::epoch)]
    epoch: Epoch,
    /// The end of the log: the state is that at this place.
    #[schema(schema_with = schema::count)]
    seq: Seq,
    #[serde(serialize_with = "entries")]
    #[schema(value_type = StateShown)]
    state: Vec<StateEntry>,
    /// Whether there are keys after these.
    more: bool,
    /// What the next page is asked for with as `after`; null where there is none.
    #[schema(schema_with = schema::nullable_name, required = true)]
    next: Option<Arc<str>>,
}

fn entries<S: Serializer>(state: &[StateEntry], to: S) -> Result<S::Ok, S::Error> {
    let held =
        |entry: &StateEntry| Current { value: Some(entry.value.clone()), version: entry.version };
    to.collect_map(state.iter().map(|entry| (entry.key.clone(), held(entry))))
}

/// Read the shared state.
///
/// Each key with its value and its version, the `seq` of its last write.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/state", tag = "state", operation_id = "state",
    params(
        ("room" = schema::Room, Path, description = "The room"),
        ("after" = Option<String>, Query, description = "Only keys after this one"),
        ("limit" = Option<schema::Number>, Query,
            description = "At most so many keys: 1 to 1,000, clamped; 1,000 where it is left out"),
    ),
    responses(
        (status = 200, description = "The state", body = State, example = json!({
            "room": "dash:eu", "epoch": "91c2e07d55aa0b14", "seq": 8,
            "state": {"orders": {"value": 17, "version": 8}}, "more": false, "next": null,
        })),
        ReadRefusals,
    ),
)]
pub(super) async fn read(call: Call) -> Result<State, Failure> {
    let (room, query) = (call.room()?, call.query());
    let after = query.text("after").map(Arc::from);
    let limit = query.limit(MOST, MOST)?;
    let page = call.services().broker.state(&room, StateRequest { after, limit }).await?;
    let next = page.entries.last().filter(|_| page.more).map(|last| last.key.clone());
    Ok(State {
        room,
        epoch: page.position.epoch,
        seq: page.position.seq,
        state: page.entries,
        more: page.more,
        next,
    })
}

/// Write a key.
///
/// Last writer wins; with `If-Match`, only if the key's version is the one named,
/// 0 for "must not exist". A value of null deletes the key.
#[utoipa::path(
    put, path = "/api/v1/rooms/{room}/state/{key}", tag = "state", operation_id = "set",
    params(
        ("room" = schema::Room, Path, description = "The room"),
        ("key" = schema::Key, Path, description = "The key"),
        Conditions,
    ),
    request_body(content = Write, example = json!({"value": {"orders": 17}, "nonce": "sync-17"})),
    responses(
        (status = 200, description = "It is in the log", body = Kept, example = json!({
            "room": "dash:eu", "key": "orders", "epoch": "91c2e07d55aa0b14", "seq": 8, "version": 8,
        })),
        (status = 409, description = "`conflict`: the key's version is another", body = Told,
            example = json!({"error": {
                "code": "conflict", "message": "`If-Match`: the key's version is 8, not the one named",
                "current": {"value": 17, "version": 8},
            }})),
        WriteRefusals,
    ),
)]
pub(super) async fn put(call: Call) -> Result<Kept, Failure> {
    let set = set(&call, |fields, most| Ok(fields.value(most)?))?;
    Ok(writing::set(call.services(), set, Some(IF_MATCH)).await?)
}

/// Delete a key.
///
/// As writing null: a key that is not there may be deleted. With `If-Match`, only
/// if the key's version is the one named.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/state/{key}", tag = "state", operation_id = "unset",
    params(
        ("room" = schema::Room, Path, description = "The room"),
        ("key" = schema::Key, Path, description = "The key"),
        Conditions,
    ),
    request_body(content = Option<Deletion>, example = json!({"user": "ci"})),
    responses(
        (status = 200, description = "It is in the log", body = Kept, example = json!({
            "room": "dash:eu", "key": "orders", "epoch": "91c2e07d55aa0b14", "seq": 9, "version": 0,
        })),
        (status = 409, description = "`conflict`: the key's version is another", body = Told,
            example = json!({"error": {
                "code": "conflict", "message": "`If-Match`: the key's version is 0, not the one named",
                "current": {"value": null, "version": 0},
            }})),
        WriteRefusals,
    ),
)]
pub(super) async fn delete(call: Call) -> Result<Kept, Failure> {
    let set = set(&call, |_, _| Ok(None))?;
    Ok(writing::set(call.services(), set, Some(IF_MATCH)).await?)
}

fn set(call: &Call, value: fn(&Fields, usize) -> Result<Value, Failure>) -> Result<Set, Failure> {
    let room = call.room()?;
    let key = call.path().key.as_str();
    check_short(key, NAME_CHARACTERS)
        .map_err(|error| bad(format!("the key in the path: {error}")))?;
    let if_version = call.header(header::IF_MATCH).map(version).transpose()?;
    let fields: Fields = call.read()?;
    let value = value(&fields, call.services().settings.limits.message_bytes)?;
    Ok(Set { room, key: key.into(), value, if_version, by: fields.writer() })
}

/// The version that `If-Match` carries, quoted as HTTP has it or bare.
fn version(text: &str) -> Result<Seq, Failure> {
    let text = text.trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let digits = quoted.unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|version| is_number && *version <= EXACT).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let expected = "a version from 0 to 2^53, quoted or bare";
        bad(format!("`{IF_MATCH}`: expected {expected}, got {shown:?}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_quoted_or_bare() {
        for (text, expected) in [("7", 7), ("\"7\"", 7), (" \"0\" ", 0)] {
            assert_eq!(version(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "\"\"", "\"7", "7\"", "*", "W/\"7\"", "-1", "+1", "1.0", "9007199254740993"]
        {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
