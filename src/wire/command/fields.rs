use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
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

            fn named(&mut self, name: &str) -> Option<&mut Field<'a>> {
                match name {
                    $($name => Some(&mut self.$field),)*
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
        // Names are taken as they stand there, which they have to as JSON does.
        while let Some(quoted) = map.next_key::<&RawValue>()? {
            match unquoted(quoted.get()).and_then(|name| fields.named(&name)) {
                Some(field) => field.set(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// The name in these quotes. None where it has half a surrogate pair: that is JSON,
/// if not text, and no reason to refuse the message.
fn unquoted(name: &str) -> Option<Cow<'_, str>> {
    if name.contains('\\') {
        return serde_json::from_str(name).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(name.trim_matches('"')))
}
