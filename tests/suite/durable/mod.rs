//! `broker.path`: what the broker built in keeps on disk, and what becomes of it
//! when the process is killed, the disk is full, or a file is damaged.

mod back;
mod damage;
mod full;
mod kill;
mod revoked;
mod start;

use std::{path::Path, sync::Arc};

use rookery::{
    broker::{
        Broker, Inbox, PageRequest, Snapshot, Start, Unavailable,
        memory::{DurableBroker, MemoryBroker, StoreError},
    },
    config::Settings,
    model::{Author, Body, Draft, Payload, Position, Publication, RoomName, UserId},
};
use serde_json::value::RawValue;

use crate::harness::Directory;

/// A broker of these settings over what is in the directory.
fn open(path: &Path, toml: &str) -> Result<DurableBroker, StoreError> {
    let settings = Settings::from_toml(toml).unwrap();
    let memory = MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox);
    DurableBroker::open(memory, path)
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn draft(body: Body, nonce: Option<&str>) -> Draft {
    let author = Author { user: Some(user("ada")), session: None, echo: true };
    Draft { author, body, nonce: nonce.map(Into::into), if_version: None }
}

fn chat(text: &str, nonce: Option<&str>) -> Draft {
    draft(Body::Message(Payload::Text(text.into())), nonce)
}

fn set(key: &str, value: Option<&str>) -> Draft {
    let value = value.map(|it| Arc::from(RawValue::from_string(it.to_owned()).unwrap()));
    draft(Body::Set { key: key.into(), value }, None)
}

fn direct(to: &str, text: &str) -> Draft {
    draft(Body::Direct { to: user(to), payload: Payload::Text(text.into()) }, None)
}

/// All of a room, as texts that can be compared.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    position: Position,
    log: Vec<String>,
    state: Vec<(String, u64, String)>,
}

fn entry(entry: &Arc<Publication>) -> String {
    format!("{entry:?}")
}

async fn seen(broker: &dyn Broker, name: &RoomName) -> Result<Seen, Unavailable> {
    let all = PageRequest { before: None, after: None, limit: 100_000 };
    let log = broker.page(name, all).await?.messages.iter().map(entry).collect();
    let Snapshot { position, state, .. } = broker.snapshot(name, Start::End).await?;
    let mut state: Vec<_> = state
        .into_iter()
        .map(|it| (it.key.to_string(), it.version, it.value.get().to_owned()))
        .collect();
    state.sort();
    Ok(Seen { position, log, state })
}

/// What waits for a user, as texts that can be compared.
async fn waiting(broker: &dyn Broker, name: &str) -> (Position, u64, Vec<String>) {
    let Inbox { seen, end, unseen } = broker.inbox(&user(name)).await.unwrap();
    (seen, end, unseen.iter().map(entry).collect())
}

/// How many rows a table of the file has.
fn rows(directory: &Directory, table: &str) -> u64 {
    use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableHandle};
    let database = Database::open(directory.path().join("rookery.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    let handle = transaction.list_tables().unwrap().find(|it| it.name() == table).unwrap();
    transaction.open_untyped_table(handle).unwrap().len().unwrap()
}
