use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names of rooms by their form: `*` stands for any run of characters, an
/// empty one included, everything else for itself.
///
/// Matching takes time linear in the lengths of pattern and name: the text
/// between two stars is searched once, from where the text before it was
/// found, and the leftmost place is always as good as any later one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Box<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}")]
pub struct PatternError;

const EXPECTED: &str = "a room pattern: 1 to 256 characters of `A-Z a-z 0-9 _ - . : / @ *`";

/// Room for every character of a name and a star beside it.
const MAX: usize = 256;

impl Pattern {
    /// The pattern a token or the configuration names.
    ///
    /// # Errors
    /// [`PatternError`] where no room's name could ever match.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@*".contains(&byte);
        if text.is_empty() || text.len() > MAX || !text.bytes().all(allowed) {
            return Err(PatternError);
        }
        Ok(Self(text.into()))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` has this form.
    pub fn matches(&self, name: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let (between, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(middle) = name.strip_prefix(prefix).and_then(|name| name.strip_suffix(suffix))
        else {
            return false;
        };
        between
            .split('*')
            .try_fold(middle, |left, part| left.split_once(part).map(|(_, after)| after))
            .is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::parse(text).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "lobby"),
            ("**", "lobby"),
            ("lobby", "lobby"),
            ("dash:*", "dash:"),
            ("dash:*", "dash:eu"),
            ("*:eu", "dash:eu"),
            ("a*c*e", "abcde"),
            ("a*c*e", "ace"),
            ("a*a", "aa"),
            ("*ab*ab*", "xababx"),
            ("a**b", "ab"),
            ("*a", "aa"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("lobby", "Lobby"),
            ("lobby", "lobby2"),
            ("dash:*", "dash"),
            ("dash:*", "xdash:eu"),
            ("*:eu", "dash:eu2"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("a*c*e", "aec"),
            ("*ab*ab*", "xabx"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_no_room_can_match_is_no_pattern() {
        for bad in ["", "a b", "ä*", "a\n", "[a]", &"r".repeat(MAX + 1)] {
            assert_eq!(Pattern::parse(bad), Err(PatternError), "{bad:?}");
        }
    }

    /// The definition, by trying everything.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => {
                (0..=name.len()).any(|skipped| by_definition(rest, &name[skipped..]))
            }
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(head, tail)| head == first && by_definition(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(
                matches(&pattern, &name),
                by_definition(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
