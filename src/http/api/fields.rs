//! What stands in the bodies of calls. The fields mean what they do in a
//! client's messages, and have the same bounds.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, Error},
};
use serde_json::value::RawValue;

use super::call::{Call, name_problem};
use crate::{
    http::failure::Failure,
    model::{Author, Code, Payload, Problem, RoomName, Seq, UserId},
    wire::{KEY_CHARACTERS, NAME_CHARACTERS, one_line},
};

/// Whole numbers up to here are the same in every program.
pub(super) const EXACT: u64 = 1 << 53;

/// A whole number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;

        impl de::Visitor<'_> for Whole {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0 to 2^53")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
                let wrong = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
                Some(number).filter(|number| *number <= EXACT).ok_or_else(wrong)
            }

            /// Some programs write whole numbers with a fraction.
            fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
                let is_count = number.fract() == 0.0 && (0.0..=EXACT as f64).contains(&number);
                let wrong = || E::invalid_value(de::Unexpected::Float(number), &self);
                Some(number as u64).filter(|_| is_count).ok_or_else(wrong)
            }
        }

        from.deserialize_any(Whole).map(Self)
    }
}

/// The name of an event or of a key of the state.
#[derive(Debug, Clone)]
pub(super) struct Name(pub(super) Arc<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        short(from, NAME_CHARACTERS).map(Self)
    }
}

/// A writer's key against doubling.
#[derive(Debug, Clone)]
pub(super) struct Nonce(Arc<str>);

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        short(from, KEY_CHARACTERS).map(Self)
    }
}

fn short<'de, D: Deserializer<'de>>(from: D, most: usize) -> Result<Arc<str>, D::Error> {
    let text = String::deserialize(from)?;
    check_short(&text, most).map_err(D::Error::custom)?;
    Ok(text.into())
}

/// Text of 1 to so many characters.
pub(super) fn check_short(text: &str, most: usize) -> Result<(), String> {
    match text.chars().count() {
        count if (1..=most).contains(&count) => Ok(()),
        count => Err(format!("expected 1 to {most} characters, got {count}")),
    }
}

/// A user.
#[derive(Debug, Clone)]
pub(super) struct User(pub(super) UserId);

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        UserId::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Any JSON that was written, be it null.
fn written<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(|raw| Some(one_line(&raw)))
}

/// The fields of a message, a write or a command, as they came.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) room: Option<String>,
    pub(super) to: Option<User>,
    pub(super) key: Option<Name>,
    content: Option<String>,
    event: Option<Name>,
    #[serde(deserialize_with = "written")]
    data: Option<Arc<RawValue>>,
    #[serde(deserialize_with = "written")]
    value: Option<Arc<RawValue>>,
    pub(super) if_version: Option<Count>,
    user: Option<User>,
    nonce: Option<Nonce>,
}

/// What is said, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) payload: Payload,
    pub(super) by: Writer,
}

/// Who writes, and the key against doubling.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) author: Author,
    pub(super) nonce: Option<Arc<str>>,
}

/// The value of a key; none deletes it.
pub(super) type Value = Option<Arc<RawValue>>;

impl Call {
    /// The message that the body is, within the bounds of clients' messages.
    pub(super) fn message(&self) -> Result<Message, Failure> {
        let most = self.services().settings.limits.message_bytes;
        Ok(self.read::<Fields>()?.message(most)?)
    }
}

impl Fields {
    /// Who writes.
    pub(super) fn writer(&self) -> Writer {
        let user = self.user.as_ref().map(|user| user.0.clone());
        let nonce = self.nonce.as_ref().map(|nonce| nonce.0.clone());
        Writer { author: Author { user, session: None, echo: true }, nonce }
    }

    /// `content`, or `event` with `data`; at most so many bytes.
    pub(super) fn message(&self, most: usize) -> Result<Message, Problem> {
        let by = self.writer();
        let payload = match (&self.content, &self.event) {
            (Some(content), None) => Payload::Text(content.as_str().into()),
            (None, Some(Name(event))) => {
                let data = self.data.clone().ok_or_else(|| missing("data", "any JSON"))?;
                Payload::Event { event: event.clone(), data }
            }
            (content, _) => {
                let got = if content.is_some() { "both" } else { "neither" };
                let message = format!("expected `content`, or `event` with `data`, got {got}");
                return Err(bad(message));
            }
        };
        let (field, size) = match &payload {
            Payload::Text(text) => ("content", text.len()),
            Payload::Event { data, .. } => ("data", data.get().len()),
        };
        check_size(field, size, most)?;
        Ok(Message { payload, by })
    }

    /// `value`, of at most so many bytes; null deletes the key.
    pub(super) fn value(&self, most: usize) -> Result<Value, Problem> {
        let value = self.value.clone().ok_or_else(|| missing("value", "any JSON"))?;
        check_size("value", value.get().len(), most)?;
        Ok(Some(value).filter(|value| value.get() != "null"))
    }

    /// The version that the writer names.
    pub(super) fn if_version(&self) -> Option<Seq> {
        self.if_version.map(|Count(version)| version)
    }
}

/// A room that a body names in this field.
pub(super) fn room(field: &str, text: &str) -> Result<RoomName, Failure> {
    RoomName::parse(text).map_err(|error| name_problem(&format!("`{field}`"), &error).into())
}

/// The problem that a field is not there.
pub(super) fn missing(field: &str, expected: &str) -> Problem {
    bad(format!("`{field}`: expected {expected}, got nothing"))
}

/// The problem that something does not make sense.
pub(super) fn bad(message: String) -> Problem {
    Problem::new(Code::BadMessage, message)
}

fn check_size(field: &str, size: usize, most: usize) -> Result<(), Problem> {
    if size <= most {
        return Ok(());
    }
    let message = format!("`{field}`: expected at most {most} bytes, got {size}");
    Err(Problem::new(Code::TooLarge, message))
}
