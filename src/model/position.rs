use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::unique_u64;

/// A place in a room's log: 1, 2, 3 …; 0 stands before the first message.
pub type Seq = u64;

/// Names one life of a room's log. Positions of different epochs say nothing
/// about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// An epoch that no other log has. One is at hand for every write to a log
    /// that may turn out to be gone.
    pub fn random() -> Self {
        Self(unique_u64())
    }

    /// The epoch of this number.
    pub const fn of(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for what is kept in another form than text.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The epoch a client or another node names, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 16
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !well_formed {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected an epoch"))
    }
}

/// A place in one life of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The life of the log that `seq` counts in.
    pub epoch: Epoch,
    /// The last message seen.
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_its_own_parse_and_nothing_else_is_one() {
        let epoch = Epoch::random();
        assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
        for bad in ["", "0", "+00000000000000a", "ABCDEFABCDEFABCD", "00000000000000000"] {
            assert_eq!(Epoch::parse(bad), None, "{bad:?}");
        }
    }
}
