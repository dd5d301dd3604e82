//! The messages of the scenarios. The bare loop hands on what it is sent, so
//! that to it everything is sent as the server would hand it on: the same bytes
//! reach the members of both.

use crate::stamp::Stamp;

/// How long a text is.
pub(crate) const TEXT: usize = 128;

/// To whom something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A server, by the protocol.
    Server,
    /// The bare loop.
    Floor,
}

impl Dialect {
    /// A `chat` by the user, with the stamp in its text.
    pub(crate) fn chat(self, room: &str, user: &str, stamp: Stamp) -> String {
        let mut out = match self {
            Self::Server => format!(r#"{{"type":"chat","room":"{room}","content":""#),
            Self::Floor => {
                let seq = stamp.number;
                format!(
                    r#"{{"type":"chat","room":"{room}","seq":{seq},"user":"{user}","content":""#
                )
            }
        };
        stamp.put(&mut out, TEXT);
        out.push_str(match self {
            Self::Server => r#""}"#,
            Self::Floor => r#"","timestamp":1767225600000}"#,
        });
        out
    }

    /// A `signal` by the user.
    pub(crate) fn signal(self, room: &str, user: &str, stamp: Stamp) -> String {
        let mut out = match self {
            Self::Server => {
                format!(r#"{{"type":"signal","room":"{room}","event":"cursor","data":""#)
            }
            Self::Floor => format!(
                r#"{{"type":"signal","room":"{room}","user":"{user}","event":"cursor","data":""#
            ),
        };
        stamp.put(&mut out, 48);
        out.push_str(r#""}"#);
        out
    }

    /// A write of the user to a key of its own.
    pub(crate) fn set(self, room: &str, user: &str, stamp: Stamp) -> String {
        let mut out = match self {
            Self::Server => format!(r#"{{"type":"set","room":"{room}","key":"{user}","value":""#),
            Self::Floor => {
                let seq = stamp.number;
                format!(
                    r#"{{"type":"set","room":"{room}","seq":{seq},"user":"{user}","key":"{user}","value":""#
                )
            }
        };
        stamp.put(&mut out, 48);
        out.push_str(match self {
            Self::Server => r#""}"#,
            Self::Floor => r#"","version":1,"timestamp":1767225600000}"#,
        });
        out
    }
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Welcome,
    Joined,
    Chat,
    Signal,
    Set,
    Presence,
    Error,
    Other,
}

impl Kind {
    /// Every message begins with its type.
    pub(crate) fn of(message: &[u8]) -> Self {
        let Some(rest) = message.strip_prefix(br#"{"type":""#) else { return Self::Other };
        match rest {
            [b'c', b'h', ..] => Self::Chat,
            [b's', b'i', ..] => Self::Signal,
            [b's', b'e', ..] => Self::Set,
            [b'w', b'e', ..] => Self::Welcome,
            [b'j', ..] => Self::Joined,
            [b'p', b'r', ..] => Self::Presence,
            [b'e', b'r', ..] => Self::Error,
            [b'c', b'l', ..] => Self::Error,
            _ => Self::Other,
        }
    }
}
