use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{Field, kind};
use crate::model::{Code, Problem};

macro_rules! known_fields {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// The fields of a message that some command knows, each as it came. What
        /// is not known is passed over, of what comes twice the last counts, as in
        /// `JSON.parse`.
        #[derive(Debug)]
        pub(super) struct Fields<'a> {
            $(pub(super) $field: Field<'a>,)*
        }

        impl<'a> Fields<'a> {
            fn none() -> Self {
                Self { $($field: Field::absent($name),)* }
            }

            fn named(&mut self, name: &[u8]) -> Option<&mut Field<'a>> {
                match std::str::from_utf8(name) {
                    $(Ok($name) => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

known_fields! {
    active = "active",
    after = "after",
    before = "before",
    content = "content",
    data = "data",
    echo = "echo",
    epoch = "epoch",
    event = "event",
    history = "history",
    id = "id",
    if_version = "if_version",
    key = "key",
    kind = "type",
    limit = "limit",
    listen = "listen",
    meta = "meta",
    nonce = "nonce",
    room = "room",
    seq = "seq",
    since = "since",
    status = "status",
    to = "to",
    token = "token",
    users = "users",
    value = "value",
}

impl<'a> Fields<'a> {
    /// Reads an object in one pass; the values are not looked into.
    pub(super) fn read(text: &'a str) -> Result<Self, Problem> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = deserializer.deserialize_map(Collect);
        if let (Ok(fields), Ok(())) = (fields, deserializer.end()) {
            return Ok(fields);
        }
        Err(match serde_json::from_str::<&RawValue>(text) {
            Ok(other) => Problem::new(
                Code::BadMessage,
                format!("expected an object with a `type`, got {}", kind(other)),
            ),
            Err(error) => Problem::new(Code::BadJson, format!("expected JSON: {error}")),
        })
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::none();
        while let Some(field) = map.next_key_seed(Name(&mut fields))? {
            match field {
                Some(field) => field.set(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Finds the field of a name. The name is taken as bytes: one with half a
/// surrogate pair is JSON, if not text, and no reason to refuse the message.
struct Name<'f, 'a>(&'f mut Fields<'a>);

impl<'f, 'de> DeserializeSeed<'de> for Name<'f, 'de> {
    type Value = Option<&'f mut Field<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'f, 'de> Visitor<'de> for Name<'f, 'de> {
    type Value = Option<&'f mut Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}
