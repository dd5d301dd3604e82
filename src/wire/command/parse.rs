use super::{Command, Incoming, Token, field::Field, fields::Fields};
use crate::model::{Code, Payload, Problem, RoomName, Status};

/// How many messages a page holds at most.
pub const PAGE: usize = 1000;
/// How many it holds where the client does not say.
pub const DEFAULT_PAGE: usize = 50;

/// Reads a text message.
pub fn parse(text: &str) -> Incoming {
    let fields = match Fields::read(text) {
        Ok(fields) => fields,
        Err(problem) => return Incoming { id: None, command: Err(problem) },
    };
    if !fields.id.is_written() {
        return Incoming { id: None, command: command(&fields) };
    }
    match fields.id.request_id() {
        Ok(id) => Incoming { id: Some(id), command: command(&fields) },
        Err(problem) => Incoming { id: None, command: Err(problem) },
    }
}

fn command(fields: &Fields<'_>) -> Result<Command, Problem> {
    let kind = fields.kind.text()?;
    match &*kind {
        "join" => in_room(fields, |room| {
            Ok(Command::Join {
                room,
                since: fields.since.optional(Field::since)?,
                history: fields.history.optional(|history| history.amount(PAGE))?,
                listen: fields.listen.optional(Field::flag)?.unwrap_or(true),
            })
        }),
        "leave" => in_room(fields, |room| Ok(Command::Leave { room })),
        "chat" => publish(fields, text),
        "publish" => publish(fields, event),
        "set" => in_room(fields, |room| {
            Ok(Command::Set {
                room,
                key: fields.key.name()?,
                value: Some(fields.value.json()?).filter(|value| value.get() != "null"),
                if_version: fields.if_version.optional(Field::count)?,
                nonce: fields.nonce.optional(Field::nonce)?,
                echo: fields.echo.optional(Field::flag)?.unwrap_or(true),
            })
        }),
        "signal" => in_room(fields, |room| {
            Ok(Command::Signal { room, event: fields.event.name()?, data: fields.data.json()? })
        }),
        "typing" => {
            in_room(fields, |room| Ok(Command::Typing { room, active: fields.active.flag()? }))
        }
        "direct" => Ok(Command::Direct {
            to: fields.to.user()?,
            payload: text_or_event(fields)?,
            nonce: fields.nonce.optional(Field::nonce)?,
        }),
        "seen" => Ok(Command::Seen {
            epoch: fields.epoch.optional(Field::epoch)?,
            seq: fields.seq.count()?,
        }),
        "status" => Ok(Command::Status {
            status: status(fields)?,
            meta: fields.meta.optional(Field::meta)?,
        }),
        "presence" => in_room(fields, |room| Ok(Command::Presence { room })),
        "watch" => Ok(Command::Watch { users: fields.users.users()? }),
        "unwatch" => Ok(Command::Unwatch { users: fields.users.users()? }),
        "history" => in_room(fields, |room| {
            let limit = fields.limit.optional(|limit| limit.amount(PAGE))?;
            Ok(Command::History {
                room,
                before: fields.before.optional(Field::count)?,
                after: fields.after.optional(Field::count)?,
                limit: limit.unwrap_or(DEFAULT_PAGE).max(1),
            })
        }),
        "refresh" => Ok(Command::Refresh { token: Token(fields.token.text()?.into_owned()) }),
        "ping" => Ok(Command::Ping),
        unknown => {
            Err(fields.kind.unexpected(Code::UnknownType, "a type of the protocol", unknown))
        }
    }
}

/// Reads the room, then the rest; what is wrong with the rest is told with the
/// room.
fn in_room(
    fields: &Fields<'_>,
    rest: impl FnOnce(RoomName) -> Result<Command, Problem>,
) -> Result<Command, Problem> {
    let room = fields.room.room()?;
    rest(room.clone()).map_err(|problem| problem.in_room(&room))
}

fn publish(
    fields: &Fields<'_>,
    payload: impl FnOnce(&Fields<'_>) -> Result<Payload, Problem>,
) -> Result<Command, Problem> {
    in_room(fields, |room| {
        Ok(Command::Publish {
            room,
            payload: payload(fields)?,
            nonce: fields.nonce.optional(Field::nonce)?,
            echo: fields.echo.optional(Field::flag)?.unwrap_or(true),
        })
    })
}

fn text(fields: &Fields<'_>) -> Result<Payload, Problem> {
    Ok(Payload::Text(fields.content.text()?.into()))
}

fn event(fields: &Fields<'_>) -> Result<Payload, Problem> {
    Ok(Payload::Event { event: fields.event.name()?, data: fields.data.json()? })
}

fn text_or_event(fields: &Fields<'_>) -> Result<Payload, Problem> {
    let got = match (fields.content.is_given(), fields.event.is_given()) {
        (true, false) => return text(fields),
        (false, true) => return event(fields),
        (true, true) => "both",
        (false, false) => "neither",
    };
    let message = format!("expected `content`, or `event` with `data`, got {got}");
    Err(Problem::new(Code::BadMessage, message))
}

fn status(fields: &Fields<'_>) -> Result<Status, Problem> {
    let text = fields.status.text()?;
    text.parse().map_err(|()| {
        fields.status.unexpected(Code::BadMessage, "`online`, `away` or `busy`", &text)
    })
}
