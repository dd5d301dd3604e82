//! The server's JSON as the record has it. What cannot be read is strange, and
//! the error says so.

use std::sync::Arc;

use serde_json::Value;

use super::record::{
    Body, Entries, Entry, InboxPosition, Joined, Members, Position, State, WriteId,
};

type Read<T> = Result<T, String>;

pub fn text<'a>(message: &'a Value, field: &str) -> Read<&'a str> {
    message[field].as_str().ok_or_else(|| format!("no text `{field}` in {message}"))
}

pub fn number(message: &Value, field: &str) -> Read<u64> {
    message[field].as_u64().ok_or_else(|| format!("no number `{field}` in {message}"))
}

fn list<'a>(message: &'a Value, field: &str) -> Read<&'a Vec<Value>> {
    message[field].as_array().ok_or_else(|| format!("no list `{field}` in {message}"))
}

pub fn position(message: &Value) -> Read<Position> {
    Ok(Position { epoch: Arc::from(text(message, "epoch")?), seq: number(message, "seq")? })
}

/// A value of the shared state; the tool sets texts alone.
fn value(value: &Value) -> Read<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(format!("{other} was never set")),
    }
}

/// An entry of the log, live or in a list. `reader` is who reads it: the nonce
/// is for its own user alone, and is the same as the text.
pub fn entry(
    message: &Value,
    room: &str,
    reader: &str,
    known: &Entries,
) -> Read<(u64, Arc<Entry>)> {
    let seq = number(message, "seq")?;
    if text(message, "room")? != room {
        return Err(format!("not of {room}: {message}"));
    }
    let body = match text(message, "type")? {
        "chat" => Body::Chat(text(message, "content")?.to_owned()),
        "event" => Body::Event(text(message, "data")?.to_owned()),
        "set" => {
            if number(message, "version")? != seq {
                return Err(format!("`version` is not `seq` in {message}"));
            }
            Body::Set { key: text(message, "key")?.to_owned(), value: value(&message["value"])? }
        }
        _ => return Err(format!("no entry of a log: {message}")),
    };
    let user = text(message, "user")?.to_owned();
    if message["nonce"].is_string() && user != reader {
        return Err(format!("{reader} is shown the nonce of {user}: {message}"));
    }
    let timestamp = number(message, "timestamp")?;
    Ok((seq, known.one(Entry { user, body, timestamp })))
}

pub fn entries(
    message: &Value,
    room: &str,
    reader: &str,
    known: &Entries,
) -> Read<Vec<(u64, Arc<Entry>)>> {
    list(message, "messages")?.iter().map(|it| entry(it, room, reader, known)).collect()
}

pub fn members(message: &Value, field: &str) -> Read<Members> {
    let member = |it: &Value| Ok((text(it, "user")?.to_owned(), number(it, "sessions")?));
    list(message, field)?.iter().map(member).collect()
}

/// Applies a presence diff.
pub fn fold(members: &mut Members, message: &Value) -> Read<()> {
    members.extend(self::members(message, "joined")?);
    members.extend(self::members(message, "updated")?);
    for user in list(message, "left")? {
        members.remove(user.as_str().ok_or_else(|| format!("no user: {message}"))?);
    }
    Ok(())
}

fn state(message: &Value) -> Read<State> {
    let keys = message["state"].as_object().ok_or_else(|| format!("no state in {message}"))?;
    let one = |(key, it): (&String, &Value)| {
        let value = value(&it["value"])?.ok_or_else(|| format!("{key} is null in a state"))?;
        Ok((key.clone(), (value, number(it, "version")?)))
    };
    keys.iter().map(one).collect()
}

/// A `joined`, and who is there.
pub fn joined(
    message: &Value,
    room: &str,
    reader: &str,
    known: &Entries,
) -> Read<(Joined, Members)> {
    let members = members(message, "members")?;
    let joined = Joined {
        end: position(message)?,
        recovered: message["recovered"]
            .as_bool()
            .ok_or_else(|| format!("no `recovered` in {message}"))?,
        messages: entries(message, room, reader, known)?,
        state: state(message)?,
        oneself: members.contains_key(reader),
    };
    Ok((joined, members))
}

/// A place in an inbox: `epoch` is in `welcome.inbox` and in acknowledgements,
/// and in a `direct` where the server tells it.
pub fn inbox_position(message: &Value) -> Read<InboxPosition> {
    let epoch = message["epoch"].as_str().map(Arc::from);
    Ok(InboxPosition { epoch, seq: number(message, "seq")? })
}

/// The number that a text of ours names.
pub fn write_id(message: &Value, field: &str) -> Read<WriteId> {
    let text = text(message, field)?;
    WriteId::parse(text).ok_or_else(|| format!("nobody wrote {message}"))
}

/// The current value and version that a conflict tells.
pub fn current(message: &Value) -> Read<(Option<String>, u64)> {
    let current = &message["current"];
    Ok((value(&current["value"])?, number(current, "version")?))
}
