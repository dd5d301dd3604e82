use std::{cell::RefCell, io, rc::Rc};

use bytes::{Buf, BytesMut};

use crate::{net::Socket, outbound::Transport, wire::Places};

/// A socket over which events go: each gets the `id` that this client is to
/// read. The socket takes what became of a chunk, and only when it has all of it
/// is the chunk taken; so nothing waits here that the lanes do not know of.
pub(super) struct Numbered {
    socket: Rc<Socket>,
    inner: RefCell<Inner>,
}

struct Inner {
    places: Places,
    /// What is still to be written of the chunk under way.
    rest: BytesMut,
    /// How long that chunk was; none where none is under way.
    chunk: Option<usize>,
}

impl Numbered {
    pub(super) fn new(socket: Rc<Socket>, places: Places) -> Self {
        Self { socket, inner: RefCell::new(Inner { places, rest: BytesMut::new(), chunk: None }) }
    }
}

impl Transport for Numbered {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Inner { places, rest, chunk } = &mut *self.inner.borrow_mut();
        let length = *chunk.get_or_insert_with(|| {
            rest.reserve(bytes.len());
            places.write(bytes, rest);
            bytes.len()
        });
        // A slow reader is not a stalled one: what it took is told at once.
        let written = if rest.is_empty() { 0 } else { self.socket.try_write(rest)? };
        rest.advance(written);
        if !rest.is_empty() {
            return Ok(0);
        }
        *chunk = None;
        *rest = BytesMut::new();
        Ok(length)
    }

    fn warm(&self) {
        self.socket.warm();
    }
}
