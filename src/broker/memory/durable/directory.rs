//! The directory: who has it, what is in it, and how it is opened.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Error, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use log::warn;
use redb::{Builder, Database, DatabaseError, StorageError, backends::FileBackend};

use super::{
    change::Change,
    error::{Failure, StoreError},
    renew::renew,
    store::{self, FORMAT},
    tally::Tally,
};

/// How much of the file is held in memory besides what the broker holds.
const CACHE: usize = 32 << 20;

/// A directory that this process alone has.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked for as long as this is there.
    _lock: File,
    tally: Tally,
}

/// The store in it, open.
pub(super) struct Store {
    directory: Directory,
    /// None while it is away after a failure.
    database: Option<Database>,
    /// How many commits were made.
    commits: u64,
}

impl Store {
    /// Opens the store of a directory, both made where they are not there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make_directory(path).map_err(unusable(path))?;
        let lock = lock(path)?;
        let (file, noted) = (file(path), tally(path));
        let is_new = !file.try_exists().map_err(unusable(&file))?;
        if is_new && noted.try_exists().map_err(unusable(&noted))? {
            let what = format!("it is gone, though {} is there", noted.display());
            return Err(StoreError::Damaged { path: file, what });
        }
        if is_new {
            create(path)?;
        }
        let (database, mut commits) = open(&file)?;
        let (mut tally, last) =
            private().open(&noted).and_then(Tally::of).map_err(unusable(&noted))?;
        match last {
            Some(last) if last > commits => {
                let (found, tally) = (commits, noted);
                return Err(StoreError::Behind { path: file, found, last, tally });
            }
            None if !is_new => {
                warn!(
                    "broker.path: {} does not say how many commits were made, so the last ones may \
                     be missing: every room goes on under a new epoch, with what is there",
                    noted.display()
                );
                commits += 1;
                guarded(|| renew(&database, commits)).map_err(|failure| StoreError::Damaged {
                    path: file.clone(),
                    what: failure.what,
                })?;
            }
            _ => {}
        }
        tally.note(commits).and_then(|()| tally.sync()).map_err(unusable(&noted))?;
        // Names are on disk when their directory is.
        #[cfg(unix)]
        File::open(path).and_then(|opened| opened.sync_all()).map_err(unusable(path))?;
        let directory = Directory { path: path.to_owned(), _lock: lock, tally };
        Ok(Self { directory, database: Some(database), commits })
    }

    /// Reads something of it; what cannot be read is damaged.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let Some(database) = &self.database else { return Err(self.damaged("it is not open")) };
        guarded(|| read(database)).map_err(|failure| self.damaged(&failure.what))
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged { path: file(&self.directory.path), what: what.to_owned() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Writes all changes, or none. After a failure none will be written before the
    /// store was opened [anew](Self::reopen).
    pub(super) fn commit<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a Change>,
    ) -> Result<(), Failure> {
        let Some(database) = &self.database else { return Err(Failure::new("it is not open")) };
        let next = self.commits + 1;
        guarded(|| store::commit(database, next, changes))?;
        self.commits = next;
        if let Err(error) = self.directory.tally.note(next) {
            warn!("{}: {error}", tally(&self.directory.path).display());
        }
        Ok(())
    }

    /// Opens it anew after a failure. It has to be what it was before that.
    pub(super) fn reopen(&mut self) -> Result<(), Failure> {
        self.database = None;
        let (database, commits) = guarded(|| unlocked(&file(&self.directory.path)))?;
        if commits != self.commits {
            let ends = format!("it ends at commit {commits}, and not at {}", self.commits);
            return Err(Failure::new(ends));
        }
        self.database = Some(database);
        Ok(())
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("rookery.redb")
}

fn tally(directory: &Path) -> PathBuf {
    directory.join("rookery.commits")
}

fn unusable(path: &Path) -> impl FnOnce(Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Unusable { path, error }
}

/// What is in it concerns nobody else on the machine.
fn make_directory(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    builder.recursive(true).create(path)
}

/// To read and write a file, which is made if it is not there.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.mode(0o600);
    options.read(true).write(true).create(true).truncate(false);
    options
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("rookery.lock");
    let file = private().open(&path).map_err(unusable(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(&path)(error)),
    }
}

/// Makes an empty store. It gets its name when it is whole, so that a crash
/// leaves none that is not.
fn create(directory: &Path) -> Result<(), StoreError> {
    let unfinished = directory.join("rookery.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(unusable(&unfinished)(error));
        }
        _ => {}
    }
    let made = || -> Result<(), Failure> {
        let backend = FileBackend::new(private().open(&unfinished)?)?;
        let database = Builder::new().create_with_backend(backend)?;
        store::commit(&database, 1, [].into_iter())?;
        Ok(database.close()?)
    };
    made().map_err(|failure| unusable(&unfinished)(Error::other(failure.what)))?;
    let path = file(directory);
    fs::rename(&unfinished, &path).map_err(unusable(&path))
}

/// Opens a file, all of which is checked.
fn open(path: &Path) -> Result<(Database, u64), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    let opened = catch_unwind(AssertUnwindSafe(|| builder().open(path)));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
            return Err(StoreError::Locked(path.to_owned()));
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error))))
            if error.raw_os_error().is_some() =>
        {
            return Err(unusable(path)(error));
        }
        Ok(Err(error)) => return Err(damaged(error.to_string())),
        Err(_) => return Err(damaged("it cannot be read".to_owned())),
    };
    let (found, commits) =
        guarded(|| store::about(&database)).map_err(|failure| damaged(failure.what))?;
    if found != FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok((database, commits))
}

fn unlocked(path: &Path) -> Result<(Database, u64), Failure> {
    let database = builder().open(path)?;
    let (_, commits) = store::about(&database)?;
    Ok((database, commits))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// A store that was damaged while it was open may end in a panic, which is no
/// reason to end the process.
fn guarded<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(Failure::new("it contradicts itself")))
}
