//! New epochs for all rooms of a store that may have lost its last writes.

use ahash::AHashMap;
use redb::{Database, ReadableTable};

use super::{
    error::Failure,
    store::{self, ENTRIES, NONCES, ROOMS, STATE},
};
use crate::model::{Epoch, Seq, Timestamp};

/// Lets every room go on under a new epoch with what it has, as one commit: places
/// that clients know may be given anew, and the epoch tells them.
pub(super) fn renew(database: &Database, commits: u64) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut epochs: AHashMap<u64, u64> = AHashMap::new();
        let mut rooms = transaction.open_table(ROOMS)?;
        let mut heads = Vec::new();
        for row in rooms.iter()? {
            let (epoch, head) = row?;
            let (name, last, floor, clock, seen, used) = head.value();
            epochs.insert(epoch.value(), Epoch::random().number());
            heads.push((epoch.value(), name.to_owned(), [last, floor, clock, seen, used]));
        }
        let renewed =
            |epoch: u64| epochs.get(&epoch).copied().ok_or_else(|| Failure::new(store::OF_NO_ROOM));
        rooms.retain(|_, _| false)?;
        for (epoch, name, [last, floor, clock, seen, used]) in heads {
            rooms.insert(renewed(epoch)?, (&*name, last, floor, clock, seen, used))?;
        }

        let mut entries = transaction.open_table(ENTRIES)?;
        let mut rows: Vec<(u64, Seq, Timestamp, Vec<u8>)> = Vec::new();
        for row in entries.iter()? {
            let (place, entry) = row?;
            let ((epoch, seq), (timestamp, text)) = (place.value(), entry.value());
            rows.push((renewed(epoch)?, seq, timestamp, text.to_owned()));
        }
        entries.retain(|_, _| false)?;
        for (epoch, seq, timestamp, text) in rows {
            entries.insert((epoch, seq), (timestamp, &*text))?;
        }

        let mut nonces = transaction.open_table(NONCES)?;
        let mut rows: Vec<(u64, Seq, Timestamp, Option<String>, String)> = Vec::new();
        for row in nonces.iter()? {
            let (place, nonce) = row?;
            let ((epoch, seq), (then, user, nonce)) = (place.value(), nonce.value());
            rows.push((renewed(epoch)?, seq, then, user.map(str::to_owned), nonce.to_owned()));
        }
        nonces.retain(|_, _| false)?;
        for (epoch, seq, then, user, nonce) in rows {
            nonces.insert((epoch, seq), (then, user.as_deref(), &*nonce))?;
        }

        let mut state = transaction.open_table(STATE)?;
        let mut rows: Vec<(u64, String, Seq, String)> = Vec::new();
        for row in state.iter()? {
            let (key, value) = row?;
            let ((epoch, key), (version, value)) = (key.value(), value.value());
            rows.push((renewed(epoch)?, key.to_owned(), version, value.to_owned()));
        }
        state.retain(|_, _| false)?;
        for (epoch, key, version, value) in rows {
            state.insert((epoch, &*key), (version, &*value))?;
        }
        store::number(&transaction, commits)?;
    }
    Ok(transaction.commit()?)
}
