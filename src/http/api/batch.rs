use std::sync::Arc;

use serde::Deserialize;

use super::{
    broadcast::Results,
    call::Call,
    fields::{self, Fields, Message, bad, missing},
    writing::{self, Outcome, Set},
};
use crate::{
    config::Scope,
    http::{
        body::Object,
        failure::Failure,
        limits::MOST_COMMANDS,
        schema::{Batch, WriteRefusals},
    },
    model::{Code, Problem, RoomName, UserId},
};

#[derive(Deserialize)]
struct Request {
    commands: Vec<Object<Fields>>,
}

enum Command {
    Publish(RoomName, Message),
    Set(Set),
    Direct(UserId, Message),
}

/// Do several things.
///
/// At most 100 commands, each a `publish`, a `set` or a `direct` with the fields
/// that the calls of these names have. All of the body is looked at before
/// anything is done; then the commands are done one after the other, and each is
/// answered by itself: a conflict does not keep those behind it from being done.
/// Where the broker cannot be reached, those behind it are not tried. The key
/// needs the scope of each command.
#[utoipa::path(
    post, path = "/api/v1/batch", tag = "batch", operation_id = "batch",
    request_body(content = Batch, example = json!({"commands": [
        {"type": "set", "room": "dash:eu", "key": "orders", "value": 17},
        {"type": "publish", "room": "lobby", "content": "Order 17 is in"},
        {"type": "direct", "to": "alice", "content": "Your order is in", "nonce": "order-17"},
    ]})),
    responses(
        (status = 200, description = "What became of each command", body = Results,
            example = json!({"results": [
                {"room": "dash:eu", "key": "orders", "epoch": "91c2e07d55aa0b14", "seq": 8, "version": 8},
                {"room": "lobby", "epoch": "5f0c9a7be2d14c36", "seq": 44},
                {"user": "alice", "epoch": "0c4417fe3d0a9b28", "seq": 3},
            ]})),
        WriteRefusals,
    ),
)]
pub(super) async fn batch(call: Call) -> Result<Results, Failure> {
    let Request { commands } = call.read()?;
    if !(1..=MOST_COMMANDS).contains(&commands.len()) {
        let (most, got) = (MOST_COMMANDS, commands.len());
        return Err(bad(format!("`commands`: expected 1 to {most} commands, got {got}")).into());
    }
    let read = |(at, Object(fields)): (usize, &Object<Fields>)| {
        command(&call, fields).map_err(|failure| failure.within(&format!("`commands[{at}]`: ")))
    };
    let commands: Vec<Command> =
        commands.iter().enumerate().map(read).collect::<Result<_, Failure>>()?;
    let mut results: Vec<(_, Result<Outcome, Problem>)> = Vec::with_capacity(commands.len());
    for command in commands {
        let is_away = |problem: &Problem| problem.code == Code::Unavailable;
        let result = match results.last() {
            Some((_, Err(problem))) if is_away(problem) => Err(problem.clone()),
            _ => carry_out(&call, command).await,
        };
        results.push((None, result));
    }
    Results::of(results)
}

fn command(call: &Call, fields: &Fields) -> Result<Command, Failure> {
    let most = call.services().settings.limits.message_bytes;
    match fields.kind.as_deref() {
        Some("publish") => {
            let room = room(call, fields, Scope::Publish)?;
            Ok(Command::Publish(room, fields.message(most)?))
        }
        Some("set") => {
            let room = room(call, fields, Scope::Set)?;
            let key: Option<Arc<str>> = fields.key.as_ref().map(|key| key.0.clone());
            Ok(Command::Set(Set {
                room,
                key: key.ok_or_else(|| missing("key", "a string"))?,
                value: fields.value(most)?,
                if_version: fields.if_version(),
                by: fields.writer(),
            }))
        }
        Some("direct") => {
            call.backend.require(Scope::Direct)?;
            let to = fields.to.as_ref().map(|to| to.0.clone());
            let to = to.ok_or_else(|| missing("to", "a user"))?;
            Ok(Command::Direct(to, fields.message(most)?))
        }
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let expected = "`publish`, `set` or `direct`";
            let message = format!("`type`: expected {expected}, got {shown:?}");
            Err(Problem::new(Code::UnknownType, message).into())
        }
        None => Err(missing("type", "`publish`, `set` or `direct`").into()),
    }
}

/// The room of a command, for which the key has to be.
fn room(call: &Call, fields: &Fields, scope: Scope) -> Result<RoomName, Failure> {
    call.backend.require(scope)?;
    let name = fields.room.as_deref().ok_or_else(|| missing("room", "a room's name"))?;
    let room = fields::room("room", name)?;
    call.backend.require_room(&room)?;
    Ok(room)
}

async fn carry_out(call: &Call, command: Command) -> Result<Outcome, Problem> {
    let services = call.services();
    match command {
        Command::Publish(room, message) => {
            writing::publish(services, room, message).await.map(Outcome::Published)
        }
        Command::Set(set) => writing::set(services, set, None).await.map(Outcome::Kept),
        Command::Direct(to, message) => {
            writing::direct(services, to, message).await.map(Outcome::Delivered)
        }
    }
}
