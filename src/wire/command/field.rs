use std::{borrow::Cow, sync::Arc};

use serde_json::value::RawValue;

use super::{RequestId, Since, fields::Fields};
use crate::{
    model::{Code, Epoch, META_BYTES, NameError, Problem, RoomName, Seq, UserId},
    wire::one_line,
};

/// How many characters an `id` or a `nonce` may have.
pub const KEY_CHARACTERS: usize = 64;
/// How many characters the name of an event or of a state's key may have.
pub const NAME_CHARACTERS: usize = 128;
/// The integers up to here are the same number in every client.
const EXACT: u64 = 1 << 53;
/// How much of a client's text stands in an error message.
const SHOWN: usize = 40;

/// A field of a message, unread. Each read says in its error what the field is
/// called, what was expected and what came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    name: &'static str,
    raw: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    pub(super) fn absent(name: &'static str) -> Self {
        Self { name, raw: None }
    }

    pub(super) fn set(&mut self, raw: &'a RawValue) {
        self.raw = Some(raw);
    }

    /// Whether the field was written, be it as null.
    pub(super) fn is_written(self) -> bool {
        self.raw.is_some()
    }

    /// Whether an optional field has a value: null is as good as nothing.
    pub(super) fn is_given(self) -> bool {
        self.raw.is_some_and(|raw| raw.get() != "null")
    }

    /// Reads an optional field.
    pub(super) fn optional<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        if self.is_given() { read(self).map(Some) } else { Ok(None) }
    }

    /// Any text.
    pub(super) fn text(self) -> Result<Cow<'a, str>, Problem> {
        let raw = self.raw.map(RawValue::get).unwrap_or_default();
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        match inner {
            None => Err(self.wrong("a string")),
            Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            Some(_) => serde_json::from_str(raw)
                .map(Cow::Owned)
                .map_err(|_| self.instead("text", "a string with half a surrogate pair")),
        }
    }

    /// The name of an event or of a key of the shared state.
    pub(super) fn name(self) -> Result<Arc<str>, Problem> {
        self.short_text(NAME_CHARACTERS).map(Into::into)
    }

    /// A key against doubling.
    pub(super) fn nonce(self) -> Result<Arc<str>, Problem> {
        self.short_text(KEY_CHARACTERS).map(Into::into)
    }

    fn short_text(self, most: usize) -> Result<Cow<'a, str>, Problem> {
        let text = self.text()?;
        match text.chars().count() {
            count if (1..=most).contains(&count) => Ok(text),
            count => Err(self.instead(&format!("1 to {most} characters"), &count.to_string())),
        }
    }

    /// What the reply has to carry. Numbers are taken in the form of integers
    /// alone: 1.0 would come back as another text than it was.
    pub(super) fn request_id(self) -> Result<RequestId, Problem> {
        let raw = self.raw.map(RawValue::get).unwrap_or_default();
        if raw.starts_with('"') {
            return self.short_text(KEY_CHARACTERS).map(|text| RequestId::Text(text.into()));
        }
        match raw.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= EXACT => Ok(RequestId::Number(number)),
            _ => Err(self.wrong_value("a string or an integer from -2^53 to 2^53")),
        }
    }

    /// A whole number. Over 2^53 it counts as 2^53: no log gets there, and so
    /// large a number is "beyond the end" however large it is.
    pub(super) fn count(self) -> Result<Seq, Problem> {
        let raw = self.raw.map(RawValue::get).unwrap_or_default();
        if raw.is_empty() || !raw.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong_value("a whole number of 0 or more"));
        }
        Ok(raw.parse().map_or(EXACT, |number: u64| number.min(EXACT)))
    }

    /// How many messages are wanted, at most `most`.
    pub(super) fn amount(self, most: usize) -> Result<usize, Problem> {
        self.count().map(|count| usize::try_from(count).map_or(most, |count| count.min(most)))
    }

    /// True or false.
    pub(super) fn flag(self) -> Result<bool, Problem> {
        match self.raw.map(RawValue::get) {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(self.wrong("a boolean")),
        }
    }

    /// A room that clients may name.
    pub(super) fn room(self) -> Result<RoomName, Problem> {
        RoomName::parse(&self.text()?).map_err(|error| self.bad_name(&error))
    }

    /// A user.
    pub(super) fn user(self) -> Result<UserId, Problem> {
        UserId::parse(&self.text()?).map_err(|error| self.bad_name(&error))
    }

    /// A list of users.
    pub(super) fn users(self) -> Result<Vec<UserId>, Problem> {
        let raw = self.raw.map(RawValue::get).unwrap_or_default();
        let entries: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| self.wrong("an array of strings"))?;
        entries.into_iter().map(|entry| Field { raw: Some(entry), ..self }.user()).collect()
    }

    /// Where the client left off.
    pub(super) fn since(self) -> Result<Since, Problem> {
        let raw = self.raw.map(RawValue::get).unwrap_or_default();
        if !raw.starts_with('{') {
            return Err(self.wrong("an object with `epoch` and `seq`"));
        }
        let inner = Fields::read(raw)?;
        let read =
            || Ok(Since { epoch: Epoch::parse(&inner.epoch.text()?), seq: inner.seq.count()? });
        read().map_err(|problem: Problem| self.says(Code::BadMessage, &problem.message))
    }

    /// The epoch of a log.
    pub(super) fn epoch(self) -> Result<Epoch, Problem> {
        let text = self.text()?;
        let wrong = || self.unexpected(Code::BadMessage, "an epoch that the server told", &text);
        Epoch::parse(&text).ok_or_else(wrong)
    }

    /// Any JSON, null included.
    pub(super) fn json(self) -> Result<Arc<RawValue>, Problem> {
        self.raw.map(one_line).ok_or_else(|| self.wrong("any JSON"))
    }

    /// What a user shows of itself.
    pub(super) fn meta(self) -> Result<Arc<RawValue>, Problem> {
        match self.raw.map_or(0, |raw| raw.get().len()) {
            0..=META_BYTES => self.json(),
            size => {
                let expected = format!("expected at most {META_BYTES} bytes, got {size}");
                Err(self.says(Code::TooLarge, &expected))
            }
        }
    }

    /// The problem that this came, of all texts.
    pub(super) fn unexpected(self, code: Code, expected: &str, text: &str) -> Problem {
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        self.says(code, &format!("expected {expected}, got {shown:?}{more}"))
    }

    fn bad_name(self, error: &NameError) -> Problem {
        let code = match error {
            NameError::Reserved => Code::Forbidden,
            NameError::Invalid { .. } => Code::BadMessage,
        };
        self.says(code, &error.to_string())
    }

    fn wrong_value(self, expected: &str) -> Problem {
        match self.raw.map(RawValue::get) {
            Some(number) if number.len() <= SHOWN && number.starts_with(is_numeric) => {
                self.instead(expected, number)
            }
            _ => self.wrong(expected),
        }
    }

    fn wrong(self, expected: &str) -> Problem {
        self.instead(expected, self.raw.map_or("nothing", kind))
    }

    fn instead(self, expected: &str, got: &str) -> Problem {
        self.says(Code::BadMessage, &format!("expected {expected}, got {got}"))
    }

    fn says(self, code: Code, what: &str) -> Problem {
        Problem::new(code, format!("`{}`: {what}", self.name))
    }
}

fn is_numeric(character: char) -> bool {
    character == '-' || character.is_ascii_digit()
}

/// What a value is, for people. The value itself is not shown: it may be a
/// token.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
