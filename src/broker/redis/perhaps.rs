//! What somebody left in Redis that this version does not understand: the value
//! alone is passed over, not all that was read with it.

use log::warn;
use redis::{FromRedisValue, ParsingError, Value};

use crate::broker::Unavailable;

/// A value, where it has the form that is expected.
pub(super) struct Perhaps<T>(pub(super) Option<T>);

impl<T: FromRedisValue> FromRedisValue for Perhaps<T> {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        Ok(Self(T::from_redis_value(value).ok()))
    }
}

/// Those values that have it.
pub(super) fn understood<T>(values: Vec<Perhaps<T>>) -> impl Iterator<Item = T> {
    values.into_iter().filter_map(|Perhaps(value)| value)
}

/// An answer that has to have a form as a whole. One that has not says nothing of
/// the connection it came over.
pub(super) fn read<T: FromRedisValue>(answer: Value) -> Result<T, Unavailable> {
    redis::from_redis_value(answer).map_err(|_| odd())
}

/// An answer that is none.
pub(super) fn odd() -> Unavailable {
    warn!("Redis holds something that this version does not understand");
    Unavailable::Unreachable
}
