use std::{
    fs::File,
    io::{Read, Result, Seek, SeekFrom, Write},
};

/// Digits of a number with all its zeros.
const DIGITS: usize = 20;

/// How many commits were made, in a file beside the store.
///
/// A store whose newest pages are damaged takes itself for one that crashed
/// before its last commit, and goes on without it. This tells the two apart: it is
/// written after a commit is on disk, so the store is never behind it.
#[derive(Debug)]
pub(super) struct Tally(File);

impl Tally {
    /// Reads what the file says; nothing where it is new or not whole.
    pub(super) fn of(mut file: File) -> Result<(Self, Option<u64>)> {
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(1_000).read_to_end(&mut text)?;
        Ok((Self(file), parse(&text)))
    }

    /// Waits until it is on disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.0.sync_all()
    }

    /// Notes the number of a commit. It is written over the one before it, which
    /// takes no room, and need not reach the disk: the one before will do.
    pub(super) fn note(&mut self, commits: u64) -> Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(written(commits).as_bytes())
    }
}

/// Twice, so that damage is seen.
fn written(commits: u64) -> String {
    format!("{commits:0DIGITS$} {commits:0DIGITS$}\n")
}

fn parse(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let commits = text.get(..DIGITS)?.parse().ok()?;
    (text == written(commits)).then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_and_nothing_else() {
        let text = written(1234);
        assert_eq!(parse(text.as_bytes()), Some(1234));
        assert_eq!(written(u64::MAX).len(), text.len());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse(&bytes), None, "{at}");
        }
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&text.as_bytes()[1..]), None);
    }
}
