use std::{
    io::{Error, ErrorKind},
    path::PathBuf,
};

/// Why the broker cannot begin with what is in its directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory, or a file in it, cannot be made, read or written.
    #[error(
        "broker.path: {}: {error}; expected a directory that this user may read and write, \
         on a disk with room", .path.display()
    )]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: Error,
    },
    /// Another process has the directory.
    #[error(
        "broker.path: {}: another process keeps its logs there; stop that one, or give this one \
         a directory of its own", .0.display()
    )]
    Locked(PathBuf),
    /// A later version wrote it.
    #[error(
        "broker.path: {}: written in format {found}, and this version knows {known}; start the \
         version that wrote it, or a later one", .path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format that was found.
        found: u64,
        /// The one that is known.
        known: u64,
    },
    /// Something else than this program wrote to it, or the disk lost something.
    #[error(
        "broker.path: {}: damaged: {what}; put a backup in its place, or, to begin without what \
         it had, move the directory away", .path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It is whole, but older than it was.
    #[error(
        "broker.path: {}: damaged: it ends at commit {found}, and {last} were made: the last \
         writes are lost; put a backup in its place, or, to go on without them and under new \
         epochs, remove {}",
        .path.display(), .tally.display()
    )]
    Behind {
        /// Which file.
        path: PathBuf,
        /// The number of its last commit.
        found: u64,
        /// The number of the last commit that was made.
        last: u64,
        /// Where that is noted.
        tally: PathBuf,
    },
}

/// Why something was not written.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) what: String,
    /// Whether that is for want of room, which may come.
    pub(super) is_full: bool,
}

impl Failure {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_full: false }
    }
}

/// Of all that the store's library may say.
impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let is_full = matches!(&error, redb::Error::Io(error) if is_full(error));
        Self { what: error.to_string(), is_full }
    }
}

fn is_full(error: &Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
