//! What stands in a token, read strictly: a null or a wrong type where a claim
//! decides something is an error and not the same as no claim.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::AuthError;
use crate::model::{Grants, Timestamp};

/// The claims this server knows; others are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "present")]
    pub(super) sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) exp: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    pub(super) nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iat: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    pub(super) aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) jti: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) grants: Option<Grants>,
    #[serde(default, deserialize_with = "present")]
    pub(super) guest: Option<bool>,
    /// Decides nothing: null is as good as absent.
    pub(super) name: Option<String>,
    /// As `name`.
    pub(super) meta: Option<Box<RawValue>>,
}

impl Claims {
    /// Reads the payload of a token.
    pub(super) fn parse(json: &[u8]) -> Result<Self, AuthError> {
        serde_json::from_slice(json).map_err(|_| fault(json))
    }
}

/// What is wrong with a payload: it is read once more, this time with its path.
fn fault(json: &[u8]) -> AuthError {
    let mut from = serde_json::Deserializer::from_slice(json);
    let read: Result<Claims, _> = serde_path_to_error::deserialize(&mut from);
    let path = read.err().map(|error| error.path().to_string()).unwrap_or_default();
    unfit(path.split(['.', '[']).next().unwrap_or_default())
}

/// The error for a claim that is missing or does not fit.
pub(super) fn unfit(claim: &str) -> AuthError {
    EXPECTED
        .iter()
        .find(|(known, _)| *known == claim)
        .map_or(AuthError::Malformed, |&(claim, expected)| AuthError::Claim { claim, expected })
}

const TIME: &str = "a number of seconds since 1970, not beyond the year 9999";

/// What each claim must be.
const EXPECTED: [(&str, &str); 11] = [
    ("sub", "1 to 128 characters, none of them a control character"),
    ("exp", TIME),
    ("nbf", TIME),
    ("iat", TIME),
    ("aud", "text or a list of texts"),
    ("iss", "text"),
    ("jti", "text"),
    (
        "grants",
        "an object from room pattern to a list out of join, publish, set, presence, history",
    ),
    ("guest", "true or false"),
    ("name", "text"),
    ("meta", "at most 1 KiB of JSON"),
];

/// A claim that is there, so that null is not taken for an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A time in milliseconds, written as seconds with or without a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumericDate(pub(super) Timestamp);

/// The last second of the year 9999. What lies beyond is most often a time in
/// milliseconds, and would never end.
const LAST_SECOND: u64 = 253_402_300_799;

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(TIME)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                match seconds {
                    0..=LAST_SECOND => Ok(NumericDate(seconds * 1_000)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(seconds), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<NumericDate, E> {
                self.visit_u64(u64::try_from(seconds).unwrap_or(0))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                if seconds > LAST_SECOND as f64 {
                    return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
                }
                // Times before 1970 become 1970: the conversion saturates.
                Ok(NumericDate((seconds * 1_000.0).round() as u64))
            }
        }

        from.deserialize_any(Visitor)
    }
}

/// Whom a token is for: one or many.
#[derive(Debug)]
pub(super) struct Audience(Vec<String>);

impl Audience {
    /// Whether one of `accepted` is among them.
    pub(super) fn is_among(&self, accepted: &[String]) -> bool {
        self.0.iter().any(|audience| accepted.contains(audience))
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, audience: &str) -> Result<Audience, E> {
                Ok(Audience(vec![audience.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Audience, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Audience)
            }
        }

        from.deserialize_any(Visitor)
    }
}

/// The same JSON without the spaces and breaks between its parts.
pub(super) fn compact(json: &RawValue) -> Result<Box<RawValue>, AuthError> {
    let mut in_text = false;
    let mut escaped = false;
    let kept = json.get().chars().filter(|&character| {
        let keep = in_text || !character.is_ascii_whitespace();
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        keep
    });
    RawValue::from_string(kept.collect()).map_err(|_| AuthError::Malformed)
}
