use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{NAME_CHARACTERS, random_u64, random_u128};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name starts with `@`, which is kept for inboxes.
    #[error("names that start with `@` are reserved; use `direct` to reach a user's inbox")]
    Reserved,
    /// The text does not have the form of a name.
    #[error("expected 1 to {NAME_CHARACTERS} characters of {allowed}, got {got}")]
    Invalid {
        /// The characters that may stand in such a name.
        allowed: &'static str,
        /// What came instead, shortened.
        got: String,
    },
}

macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        /// Of another node's word, which checked it.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Arc::deserialize(deserializer).map(Self)
            }
        }
    };
}

shared_text! {
    /// The name of a room: 1 to 128 characters of `A-Z a-z 0-9 _ - . : /`, or
    /// `@` and a user id for that user's inbox.
    RoomName
}

shared_text! {
    /// An identity: the `sub` of a verified token, 1 to 128 characters.
    UserId
}

shared_text! {
    /// One connection of a user; it may be taken over by the connection that
    /// follows it.
    SessionId
}

shared_text! {
    /// One life of a node: its name, and what no other node and no other life
    /// of it has. It ends with the process, or when the other nodes gave the
    /// node up.
    LifeId
}

impl LifeId {
    /// A new life of the node of this name.
    pub fn random(node: &str) -> Self {
        Self(format!("{node}.{:016x}", random_u64()).into())
    }

    /// The life another node names.
    pub fn named(text: &str) -> Self {
        Self(text.into())
    }

    /// The name of the node whose life it is.
    pub fn node(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(node, _)| node)
    }
}

impl RoomName {
    /// The room a client names.
    ///
    /// # Errors
    /// [`NameError::Reserved`] for a leading `@`, else [`NameError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.starts_with('@') {
            return Err(NameError::Reserved);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
        if text.is_empty() || text.len() > NAME_CHARACTERS || !text.bytes().all(allowed) {
            return Err(NameError::Invalid {
                allowed: "`A-Z a-z 0-9 _ - . : /`",
                got: shown(text),
            });
        }
        Ok(Self(text.into()))
    }

    /// The room another node names.
    pub fn named(text: &str) -> Self {
        Self(text.into())
    }

    /// The room that is `user`'s inbox.
    pub fn inbox(user: &UserId) -> Self {
        Self(["@", user.as_str()].concat().into())
    }

    /// The user whose inbox this room is, if it is one.
    pub fn inbox_owner(&self) -> Option<UserId> {
        self.0.strip_prefix('@').map(UserId::named)
    }

    /// Whether this room is somebody's inbox.
    pub fn is_inbox(&self) -> bool {
        self.0.starts_with('@')
    }
}

impl UserId {
    /// The user a token or a client names. Control characters are refused: an
    /// id stands in logs and in addresses.
    ///
    /// # Errors
    /// [`NameError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let characters = text.chars().take(NAME_CHARACTERS + 1).count();
        if characters == 0 || characters > NAME_CHARACTERS || text.chars().any(char::is_control) {
            return Err(NameError::Invalid {
                allowed: "any kind but control characters",
                got: shown(text),
            });
        }
        Ok(Self(text.into()))
    }

    /// The user that was kept under this id.
    pub fn named(text: &str) -> Self {
        Self(text.into())
    }
}

impl SessionId {
    /// A new id for a session of `user`: 128 random bits, so that nobody can
    /// guess it, and a checksum over them and the user, so that any node can
    /// tell whose it is.
    pub fn random(user: &str) -> Self {
        let random = format!("{:032x}", random_u128());
        let checksum = checksum(&random, user);
        Self(format!("{random}{checksum:016x}").into())
    }

    /// The id a returning client names, if it was given to a session of `user`.
    pub fn parse(text: &str, user: &str) -> Option<Self> {
        let (random, theirs) = text.split_at_checked(32)?;
        let given = theirs == format!("{:016x}", checksum(random, user));
        given.then(|| Self(text.into()))
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo). It keeps users apart that name each
/// other's sessions; what keeps an id from being guessed are its random bits.
fn checksum(random: &str, user: &str) -> u64 {
    random.bytes().chain(user.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A client's text as it may stand in an error message: short and without
/// control characters.
fn shown(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_have_their_characters_and_their_length() {
        for good in ["a", "lobby", "dash:eu/1.2_3-x", &"r".repeat(128)] {
            assert_eq!(RoomName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a\n", "a*", &"r".repeat(129)] {
            assert!(matches!(RoomName::parse(bad), Err(NameError::Invalid { .. })), "{bad:?}");
        }
        assert_eq!(RoomName::parse("@bob"), Err(NameError::Reserved));
    }

    #[test]
    fn user_ids_are_counted_in_characters() {
        assert!(UserId::parse(&"é".repeat(128)).is_ok());
        assert!(UserId::parse(&"é".repeat(129)).is_err());
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse("a\u{0}b").is_err());
    }

    #[test]
    fn session_ids_are_their_own_user_s() {
        let id = SessionId::random("ada");
        assert_eq!(SessionId::parse(id.as_str(), "ada"), Some(id.clone()));
        assert_eq!(SessionId::parse(id.as_str(), "bob"), None);
        for bad in ["", "x", &"0".repeat(48), &"é".repeat(24), &"f".repeat(1000)] {
            assert_eq!(SessionId::parse(bad, "ada"), None);
        }
    }

    #[test]
    fn an_error_shows_a_short_and_harmless_text() {
        let error = RoomName::parse(&format!("\u{1b}{}", "x".repeat(500))).unwrap_err().to_string();
        assert!(error.len() < 200 && !error.contains('\u{1b}'), "{error}");
    }
}
