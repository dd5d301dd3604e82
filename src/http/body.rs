use std::{fmt, marker::PhantomData, time::Duration};

use actix_web::{
    http::StatusCode,
    web::{self, Bytes},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::failure::Failure;
use crate::model::Code;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON of a request's body, of at most so many bytes; without a body, that
/// of an empty object.
pub(super) async fn read<T: DeserializeOwned>(
    body: web::Payload,
    most: usize,
) -> Result<T, Failure> {
    parse(&whole(body, most).await?)
}

/// A request's body, of at most so many bytes.
pub(super) async fn whole(body: web::Payload, most: usize) -> Result<Bytes, Failure> {
    let whole = timeout(TIMEOUT, body.to_bytes_limited(most)).await.map_err(|_| {
        let message = format!("the body did not arrive within {TIMEOUT:?}");
        Failure::new(StatusCode::REQUEST_TIMEOUT, Code::BadMessage, message)
    })?;
    let whole = whole.map_err(|_| {
        let message = format!("the body is over {most} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message)
    })?;
    whole.map_err(|_| Failure::bad_request("the body did not arrive whole"))
}

/// Reads a body's JSON; none is as good as an empty object.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    let json = if json.is_empty() { b"{}" } else { json };
    let mut from = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match path.as_str() {
            _ if !error.is_data() => not_json(&error),
            "." => Failure::bad_request(format!("the body: {error}")),
            field => Failure::bad_request(format!("`{field}`: {error}")),
        }
    })?;
    from.end().map_err(|error| not_json(&error))?;
    let Object(value) = value;
    Ok(value)
}

/// A body's JSON, whatever it is, not looked into.
pub(super) fn raw(json: &[u8]) -> Result<&RawValue, Failure> {
    serde_json::from_slice(json).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> Failure {
    let message = format!("the body is not JSON: {error}");
    Failure::new(StatusCode::BAD_REQUEST, Code::BadJson, message)
}

/// An object in JSON: a list of values in the right order is none. Null is as good
/// as an empty one.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor(PhantomData)).map(Self)
    }
}

struct Visitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        T::deserialize(de::value::MapDeserializer::<_, E>::new(std::iter::empty::<((), ())>()))
    }
}
