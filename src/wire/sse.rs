//! Server-Sent Events: the form of one event, and the places in the logs that
//! its `id` carries.
//!
//! The bytes of an event are shared by all who get it, but its `id` is not: it
//! tells the places of all rooms of one connection. So what [`event_of`] makes
//! is not yet what goes over the wire: in the line `id` it says what becomes of
//! the place of one room, and [`Places::write`] makes of it, for each
//! connection, the line that its client reads.

mod places;

use bytes::{BufMut, Bytes};

pub use self::places::Places;
use crate::model::{Farewell, Position, RoomName};

/// What an event says of the place that its reader is at in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The reader knows the log up to here, whatever it knew.
    Begin(&'a RoomName, Position),
    /// The reader knows the log up to here, if not farther.
    Reach(&'a RoomName, Position),
    /// The reader has left the room.
    End(&'a RoomName),
}

/// What an `id` begins with that is a [`Place::Begin`]; no room's name does.
const BEGIN: u8 = b'=';
/// The same for [`Place::End`].
const END: u8 = b'!';

/// The most that an event takes beside its data and its room's name.
const AROUND: usize = 80;

/// An event whose data is what `write` appends, one line of about `capacity`
/// bytes; with how many milliseconds a browser shall wait, when its connection
/// is lost, before it comes back.
pub fn event_of(
    place: Option<Place<'_>>,
    retry: Option<u64>,
    capacity: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut buf = Vec::with_capacity(AROUND + capacity);
    if let Some(place) = place {
        buf.put_slice(b"id: ");
        match place {
            Place::Begin(room, position) => {
                buf.put_u8(BEGIN);
                put_place(&mut buf, room, position);
            }
            Place::Reach(room, position) => put_place(&mut buf, room, position),
            Place::End(room) => {
                buf.put_u8(END);
                buf.put_slice(room.as_str().as_bytes());
            }
        }
        buf.put_u8(b'\n');
    }
    if let Some(retry) = retry {
        buf.put_slice(format!("retry: {retry}\n").as_bytes());
    }
    buf.put_slice(b"data: ");
    write(&mut buf);
    buf.put_slice(b"\n\n");
    buf.into()
}

fn put_place(buf: &mut Vec<u8>, room: &RoomName, Position { epoch, seq }: Position) {
    buf.put_slice(room.as_str().as_bytes());
    buf.put_slice(format!("@{epoch}:{seq}").as_bytes());
}

/// What tells nothing but that the connection lives.
pub fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// The event named `close`, the last one.
pub fn farewell(farewell: Farewell) -> Bytes {
    let (code, reason) = (farewell.code(), farewell.reason());
    format!("event: close\ndata: {{\"code\":{code},\"reason\":\"{reason}\"}}\n\n").into()
}

/// How many milliseconds a browser shall wait, when its connection is lost,
/// before it comes back.
pub fn retry(millis: u64) -> Bytes {
    format!("retry: {millis}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farewell_is_an_event_of_its_own_name() {
        assert_eq!(
            farewell(Farewell::Kicked),
            &b"event: close\ndata: {\"code\":1008,\"reason\":\"kicked\"}\n\n"[..]
        );
    }
}
