use std::str;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    entry::{self, Heard, RollVersion, written},
    events::{self, State},
    logs, posts,
};
use crate::{
    backend::What,
    broker::stored,
    cluster::{Entry, NodeReport, Order},
    model::{Publication, RoomName},
};

/// Reads bytes as a node reads what others left for it in Redis, and says it again
/// as it would itself; none where it does not understand them. For tests, which
/// have nothing that came over a network in their hands else.
///
/// `kind` says what the bytes are: `c` came over the channel of a room, `w` over
/// that of the nodes; `s` is a value of a room's state behind its version, `v` the
/// version of a roll, `r` an entry in one; `o` is an order, `n` what a node
/// reports of itself, `e` an event for a backend (what it is, whose, its data).
pub fn reread(kind: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let room = RoomName::named("lobby");
    match kind {
        b'c' => Some(said(entry::heard(&room, bytes)?)),
        b'w' => posts::reread(bytes),
        b's' => {
            let (version, value) = logs::read_value(str::from_utf8(bytes).ok()?)?;
            Some(format!("{version} {value}").into_bytes())
        }
        b'v' => {
            let RollVersion { epoch, version } = RollVersion::parse(str::from_utf8(bytes).ok()?)?;
            Some(format!("{epoch} {version}").into_bytes())
        }
        b'r' => json::<Entry>(bytes),
        b'o' => json::<Order>(bytes),
        b'n' => json::<NodeReport>(bytes),
        b'e' => {
            let mut fields = str::from_utf8(bytes).ok()?.splitn(3, ' ');
            let (kind, user, data) = (fields.next()?, fields.next()?, fields.next()?);
            event(events::what(&room, kind, user, data)?)
        }
        _ => None,
    }
}

fn json<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(written(&serde_json::from_slice::<T>(bytes).ok()?))
}

fn said(heard: Heard) -> Vec<u8> {
    match heard {
        Heard::Published(entry) => [b"m ".as_slice(), &logged(&entry)].concat(),
        Heard::Transient(transient) => entry::encode_transient(&transient),
        Heard::Told(told) => {
            let RollVersion { epoch, version } = told.version;
            let change = entry::encode_change(&told.life, &told.entries);
            [format!("p {epoch} {version} ").as_bytes(), &change].concat()
        }
    }
}

fn logged(entry: &Publication) -> Vec<u8> {
    let place = format!("{} {} {} ", entry.epoch, entry.seq, entry.timestamp);
    let stored = stored::encode(&entry.author, &entry.body, entry.nonce.as_ref());
    [place.as_bytes(), &stored].concat()
}

fn event(what: What) -> Option<Vec<u8>> {
    Some(match what {
        What::Occupied => b"o  ".to_vec(),
        What::Vacated => b"v  ".to_vec(),
        What::Joined(user) => format!("j {user} ").into_bytes(),
        What::Left(user) => format!("l {user} ").into_bytes(),
        What::Message(entry) => [b"m  ".as_slice(), &logged(&entry)].concat(),
        What::Resync(state) => {
            let (lost, count, members) = (state.lost, state.count, state.members);
            [b"r  ".as_slice(), &written(&State { lost, count, members })].concat()
        }
        What::Reset => return None,
    })
}
