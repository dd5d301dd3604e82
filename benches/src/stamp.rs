//! What a message carries so that whoever receives it can tell which it is and
//! when it was sent, without parsing what is around it.

use std::fmt::Write;

const MARK: &[u8] = b"#~";
/// Of a stamp, in bytes.
pub(crate) const LENGTH: usize = 2 + 4 + 8 + 12;

/// Which message of whom, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Who sent it.
    pub(crate) publisher: u32,
    /// Counts the messages of one publisher, from 1.
    pub(crate) number: u32,
    /// Nanoseconds since the generator started.
    pub(crate) sent: u64,
}

impl Stamp {
    /// Appends the stamp as text, filled up to so many bytes.
    pub(crate) fn put(&self, out: &mut String, length: usize) {
        let Self { publisher, number, sent } = self;
        let end = out.len() + length;
        // A string takes all that is written to it.
        let _ = write!(out, "#~{publisher:04x}{number:08x}{sent:012x}");
        while out.len() < end {
            out.push('.');
        }
    }
}

/// Finds stamps. They mostly stand where the last one stood.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    at: usize,
}

impl Finder {
    /// The stamp in a message; none where it has none.
    pub(crate) fn find(&mut self, message: &[u8]) -> Option<Stamp> {
        if message.get(self.at..self.at + MARK.len()) != Some(MARK) {
            self.at = message.windows(MARK.len()).position(|bytes| bytes == MARK)?;
        }
        let stamp: &[u8; LENGTH] = message.get(self.at..)?.first_chunk()?;
        let (publisher, rest) = stamp.get(2..)?.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        Some(Stamp {
            publisher: u32::try_from(hex(publisher)).ok()?,
            number: u32::try_from(hex(number)).ok()?,
            sent: hex(rest),
        })
    }
}

fn hex(digits: &[u8]) -> u64 {
    let digit = |byte: u8| u64::from((byte & 0x0f) + 9 * (byte >> 6));
    digits.iter().fold(0, |value, &byte| value << 4 | digit(byte))
}

/// Finds the `seq` of messages.
#[derive(Debug, Default)]
pub(crate) struct SeqFinder {
    at: usize,
}

impl SeqFinder {
    const NAME: &[u8] = br#""seq":"#;

    /// The position in the log; none where the message names none.
    pub(crate) fn find(&mut self, message: &[u8]) -> Option<u64> {
        let name = Self::NAME;
        if message.get(self.at..self.at + name.len()) != Some(name) {
            self.at = message.windows(name.len()).position(|bytes| bytes == name)?;
        }
        let digits = message.get(self.at + name.len()..)?;
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |value, byte| value * 10 + u64::from(byte - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_wherever_it_stands() {
        let mut finder = Finder::default();
        for before in ["", "x", "longer", "x", "# ~"] {
            let stamp = Stamp { publisher: 77, number: 123_456_789, sent: 9_876_543_210 };
            let mut text = before.to_owned();
            stamp.put(&mut text, 128);
            assert_eq!(text.len(), before.len() + 128);
            assert_eq!(finder.find(text.as_bytes()), Some(stamp));
        }
        assert_eq!(finder.find(b"nothing of the kind"), None);
        assert_eq!(finder.find(b"#~cut off"), None);
    }

    #[test]
    fn the_seq_is_found() {
        let mut finder = SeqFinder::default();
        assert_eq!(finder.find(br#"{"room":"r","seq":1204,"user":"u"}"#), Some(1204));
        assert_eq!(finder.find(br#"{"room":"room","seq":7}"#), Some(7));
        assert_eq!(finder.find(b"{}"), None);
    }
}
