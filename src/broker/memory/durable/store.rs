//! The tables, and what goes in and out of them.

use std::{ops::Range, sync::Arc};

use ahash::AHashMap;
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, Value,
    WriteTransaction,
};
use serde_json::value::RawValue;

use super::{
    change::{Change, Head, Kept, Mark, RoomChange},
    error::Failure,
    revoked::{self, REVOKED},
};
use crate::{
    broker::{memory::room::Room, stored},
    config::RoomSettings,
    model::{Body, Epoch, Position, RoomName, Seq, Timestamp, UserId},
};

/// A place of a log: the number of its epoch, which no other log has, and the seq.
type Place = (u64, Seq);

/// Of each room, by the number of its epoch: name, last place, floor, clock, what
/// was seen, when it was used.
pub(super) const ROOMS: TableDefinition<'_, u64, (&str, Seq, Seq, Timestamp, Seq, Timestamp)> =
    TableDefinition::new("rooms");
/// The time of each entry, and what it says.
pub(super) const ENTRIES: TableDefinition<'_, Place, (Timestamp, &[u8])> =
    TableDefinition::new("entries");
/// When the nonce of an entry was written, by whom, and the nonce.
pub(super) const NONCES: TableDefinition<'_, Place, (Timestamp, Option<&str>, &str)> =
    TableDefinition::new("nonces");
/// The version and the value of each key of a room.
pub(super) const STATE: TableDefinition<'_, (u64, &str), (Seq, &str)> =
    TableDefinition::new("state");
/// [`FORMAT`] and how many commits were made.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// What is wrong with a row of a room that has none.
pub(super) const OF_NO_ROOM: &str = "there is something of a room that is not there";

/// What the tables are like; another number for whatever this version cannot read.
pub(super) const FORMAT: u64 = 1;

/// The format and the number of commits.
pub(super) fn about(database: &Database) -> Result<(u64, u64), Failure> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let read = |name| -> Result<u64, Failure> {
        let value = about.get(name)?.ok_or_else(|| Failure::new(format!("`{name}` is missing")))?;
        Ok(value.value())
    };
    Ok((read("format")?, read("commits")?))
}

/// Writes all of it, or nothing, as the commit of this number. It is on disk when
/// this returns.
pub(super) fn commit<'a>(
    database: &Database,
    commits: u64,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    write(&transaction, commits, changes)?;
    Ok(transaction.commit()?)
}

fn write<'a>(
    transaction: &WriteTransaction,
    commits: u64,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<(), Failure> {
    let mut rooms = transaction.open_table(ROOMS)?;
    let mut entries = transaction.open_table(ENTRIES)?;
    let mut nonces = transaction.open_table(NONCES)?;
    let mut state = transaction.open_table(STATE)?;
    let mut revocations = transaction.open_table(REVOKED)?;
    // Of each room the last head alone.
    let mut heads: AHashMap<Epoch, Option<&Head>> = AHashMap::new();
    for change in changes {
        match change {
            Change::Room(change) => {
                let RoomChange { head, entry, nonces: oldest, dropped, forgotten } = &**change;
                let epoch = head.end.epoch;
                heads.insert(epoch, Some(head));
                clear(&mut entries, epoch, dropped)?;
                clear(&mut nonces, epoch, forgotten)?;
                let Some(entry) = entry else { continue };
                let (place, author) = ((epoch.number(), entry.seq), &entry.author);
                if entry.seq > head.floor {
                    let text = stored::encode(author, &entry.body, entry.nonce.as_ref());
                    entries.insert(place, (entry.timestamp, &*text))?;
                }
                if let Some(nonce) = entry.nonce.as_deref().filter(|_| entry.seq >= *oldest) {
                    let user = author.user.as_ref().map(UserId::as_str);
                    nonces.insert(place, (head.used, user, nonce))?;
                }
                match &entry.body {
                    Body::Set { key, value: Some(value) } => {
                        state.insert((place.0, &**key), (entry.seq, value.get()))?;
                    }
                    Body::Set { key, value: None } => {
                        state.remove((place.0, &**key))?;
                    }
                    Body::Message(_) | Body::Direct { .. } => {}
                }
            }
            Change::Gone(epoch) => {
                heads.insert(*epoch, None);
                let (from, all) = (epoch.number(), &(0..Seq::MAX));
                clear(&mut entries, *epoch, all)?;
                clear(&mut nonces, *epoch, all)?;
                match from.checked_add(1) {
                    Some(next) => state.retain_in((from, "")..(next, ""), |_, _| false)?,
                    None => state.retain_in((from, "").., |_, _| false)?,
                }
            }
            Change::Revoked(revocation) => revoked::keep(&mut revocations, revocation)?,
            Change::Forgotten(revocation) => revoked::forget(&mut revocations, revocation)?,
        }
    }
    for (epoch, head) in heads {
        let Some(Head { name, end, floor, clock, seen, used }) = head else {
            rooms.remove(epoch.number())?;
            continue;
        };
        rooms.insert(epoch.number(), (name.as_str(), end.seq, *floor, *clock, *seen, *used))?;
    }
    number(transaction, commits)
}

/// Makes a transaction the commit of this number.
pub(super) fn number(transaction: &WriteTransaction, commits: u64) -> Result<(), Failure> {
    let mut about = transaction.open_table(ABOUT)?;
    about.insert("format", FORMAT)?;
    about.insert("commits", commits)?;
    Ok(())
}

/// Removes the places of one log.
fn clear<V: Value + 'static>(
    table: &mut Table<'_, Place, V>,
    epoch: Epoch,
    seqs: &Range<Seq>,
) -> Result<(), Failure> {
    let epoch = epoch.number();
    if seqs.end.saturating_sub(seqs.start) == 1 {
        table.remove((epoch, seqs.start))?;
    } else if !seqs.is_empty() {
        table.retain_in((epoch, seqs.start)..(epoch, seqs.end), |_, _| false)?;
    }
    Ok(())
}

/// A room on its way back.
struct Coming {
    name: RoomName,
    room: Box<Room>,
    mark: Mark,
    /// The place of the next entry.
    next: Seq,
}

/// All rooms as they were. What does not fit together is a failure: nothing is
/// made up, and nothing left out.
pub(super) fn load(
    database: &Database,
    settings: impl Fn(&RoomName) -> RoomSettings,
    now: Timestamp,
) -> Result<Vec<(RoomName, Box<Room>)>, Failure> {
    let transaction = database.begin_read()?;
    let mut coming: AHashMap<u64, Coming> = AHashMap::new();
    for row in table(&transaction, ROOMS)?.iter()? {
        let (epoch, head) = row?;
        let (name, last, floor, clock, seen, used) = head.value();
        let end = Position { epoch: Epoch::of(epoch.value()), seq: last };
        let head = Head { name: RoomName::named(name), end, floor, clock, seen, used };
        if floor > last || seen > last {
            return Err(of_room(&head.name, "its places contradict each other"));
        }
        let room = Box::new(Room::resumed(settings(&head.name), &head, now));
        let mark = Mark { last, floor, nonces: last + 1, seen };
        let coming_back = Coming { name: head.name, room, mark, next: floor + 1 };
        coming.insert(epoch.value(), coming_back);
    }
    for row in table(&transaction, ENTRIES)?.iter()? {
        let (place, entry) = row?;
        let ((epoch, seq), (timestamp, text)) = (place.value(), entry.value());
        let to = of(&mut coming, epoch)?;
        let place = Position { epoch: Epoch::of(epoch), seq };
        let entry = stored::decode(&to.name, place, timestamp, text)
            .filter(|_| seq == to.next)
            .ok_or_else(|| of_room(&to.name, "an entry is missing or not readable"))?;
        to.next += 1;
        to.room.put_back(Arc::new(entry));
    }
    if let Some(cut) = coming.values().find(|it| it.next != it.mark.last + 1) {
        return Err(of_room(&cut.name, "its last entries are missing"));
    }
    for row in table(&transaction, NONCES)?.iter()? {
        let (place, nonce) = row?;
        let ((epoch, seq), (then, user, nonce)) = (place.value(), nonce.value());
        let to = of(&mut coming, epoch)?;
        to.mark.nonces = to.mark.nonces.min(seq);
        let user = user.map(UserId::named);
        to.room.put_back_nonce(then, user.as_ref(), &nonce.into(), seq);
    }
    for row in table(&transaction, STATE)?.iter()? {
        let (key, value) = row?;
        let ((epoch, key), (version, value)) = (key.value(), value.value());
        let to = of(&mut coming, epoch)?;
        let value = RawValue::from_string(value.to_owned())
            .map_err(|_| of_room(&to.name, "a value of its state is not readable"))?;
        to.room.put_back_state(&key.into(), value.into(), version);
    }
    let back = |Coming { name, mut room, mark, .. }: Coming| {
        room.is_back(Kept { mark: Some(mark), ticket: 0 }, now);
        (name, room)
    };
    Ok(coming.into_values().map(back).collect())
}

fn table<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<redb::ReadOnlyTable<K, V>, Failure> {
    Ok(transaction.open_table(definition)?)
}

fn of(coming: &mut AHashMap<u64, Coming>, epoch: u64) -> Result<&mut Coming, Failure> {
    coming.get_mut(&epoch).ok_or_else(|| Failure::new(OF_NO_ROOM))
}

fn of_room(name: &RoomName, what: &str) -> Failure {
    Failure::new(format!("room {name}: {what}"))
}
