//! What keeps a node with `broker.path` from starting.

use std::{fs, process::Output};

use redb::{Database, TableDefinition};

use super::open;
use crate::harness::{Directory, Process, rookery};

/// Runs a node that does not start; gives what it says.
fn refused(path: &str, code: i32, extra: &[(&str, &str)]) -> String {
    let directory = Directory::new();
    let mut environment =
        vec![("ROOKERY__BROKER__PATH", path), ("ROOKERY__SERVER__LISTEN", "127.0.0.1:0")];
    environment.extend(extra);
    let Output { status, stderr, .. } = rookery(&directory, &[], &environment);
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(said.contains("broker.path") && said.contains(path), "{said}");
    assert!(!said.contains("listening"), "{said}");
    said
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = Directory::new();
    let path = directory.path().join("made/for/it").display().to_string();
    let mut first = Process::spawn(&[("ROOKERY__BROKER__PATH", &path)]).await;
    let said = refused(&path, 1, &[]);
    assert!(said.contains("another process"), "{said}");
    first.signal("KILL");
    first.exited().await;
    let next = Process::spawn(&[("ROOKERY__BROKER__PATH", &path)]).await;
    assert_eq!(next.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let directory = Directory::new();
    let file = directory.write("file", "").display().to_string();
    for path in [file.as_str(), &format!("{file}/below"), "/proc/rookery", "/proc"] {
        let said = refused(path, 1, &[]);
        assert!(said.contains("may read and write"), "{said}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let directory = Directory::new();
    drop(open(directory.path(), "").unwrap());
    fs::write(directory.path().join("rookery.redb"), "not what it was").unwrap();
    let said = refused(&directory.path().display().to_string(), 1, &[]);
    assert!(said.contains("damaged") && said.contains("backup"), "{said}");
}

/// A file gets its name when it is whole.
#[tokio::test]
async fn what_a_crash_left_of_the_first_start_hinders_nobody() {
    let directory = Directory::new();
    let unfinished = directory.write("rookery.new", "half of a store");
    drop(open(directory.path(), "").unwrap());
    assert!(!unfinished.exists());
    drop(open(directory.path(), "").unwrap());
}

#[tokio::test]
async fn a_later_format_is_named() {
    let directory = Directory::new();
    drop(open(directory.path(), "").unwrap());
    let database = Database::open(directory.path().join("rookery.redb")).unwrap();
    let about: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
    let transaction = database.begin_write().unwrap();
    transaction.open_table(about).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let said = refused(&directory.path().display().to_string(), 1, &[]);
    assert!(said.contains("format 2") && said.contains("knows 1"), "{said}");
}

#[tokio::test]
async fn redis_and_a_directory_are_one_too_many() {
    let directory = Directory::new();
    let path = directory.path().join("unused").display().to_string();
    let said = refused(&path, 2, &[("ROOKERY__BROKER__URL", "redis://127.0.0.1:1")]);
    assert!(said.contains("broker.url"), "{said}");
    assert!(!directory.path().join("unused").exists());
}
