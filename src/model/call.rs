use std::{fmt, sync::Arc};

use super::unique_u64;

/// The header that carries a [`CallId`].
pub const CALL_ID: &str = "x-request-id";

/// What an HTTP request is called in logs and on the way to backends, and the
/// connection that came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallId(Arc<str>);

impl CallId {
    /// The longest that is taken from others.
    pub const LONGEST: usize = 128;

    /// One that nobody has.
    pub fn random() -> Self {
        Self(format!("{:016x}{:016x}", unique_u64(), unique_u64()).into())
    }

    /// One that somebody else gave: 1 to 128 characters that mean nothing in a
    /// header, in JSON or in a line of a log. None where it is not such.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        let fits = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_none() {
        for good in ["a", "4bf92f35-77b3-4da6.x_1", "Root=1-67891233/a:b+c=", &"x".repeat(128)] {
            assert_eq!(CallId::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for bad in ["", "a b", "a\"b", "a\\b", "a\nb", "a{b}", "é", "a\0", "a%0a", &long] {
            assert_eq!(CallId::parse(bad), None, "{bad:?}");
        }
        let (one, two) = (CallId::random(), CallId::random());
        assert!(one != two && CallId::parse(one.as_str()) == Some(one));
    }
}
