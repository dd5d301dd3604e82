use actix_http::ws::OpCode;
use bytes::{Buf, BufMut, Bytes};

use crate::model::Farewell;

/// The longest header of a server's frame: two bytes and a length of 64 bits.
const LONGEST_HEADER: usize = 10;

/// A whole frame, ready to write.
pub fn frame_bytes(opcode: OpCode, payload: &[u8]) -> Bytes {
    frame_of(opcode, payload.len(), |buf| buf.put_slice(payload))
}

/// A whole frame whose payload is what `write` appends, about `capacity` bytes.
/// The payload is not copied: its header is put before it where it stands.
pub fn frame_of(opcode: OpCode, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buf = Vec::with_capacity(LONGEST_HEADER + capacity);
    buf.put_bytes(0, LONGEST_HEADER);
    write(&mut buf);
    let (header, size) = header(opcode, buf.len().saturating_sub(LONGEST_HEADER));
    let unused = LONGEST_HEADER - size;
    for (slot, byte) in buf.iter_mut().skip(unused).zip(header.into_iter().take(size)) {
        *slot = byte;
    }
    let mut frame = Bytes::from(buf);
    frame.advance(unused);
    frame
}

/// The frame that ends a connection, with code and reason.
pub fn close_frame(farewell: Farewell) -> Bytes {
    frame_of(OpCode::Close, 2 + farewell.reason().len(), |buf| {
        buf.put_u16(farewell.code());
        buf.put_slice(farewell.reason().as_bytes());
    })
}

/// The answer to a client's close frame, which says its code back (RFC 6455,
/// section 5.5.1); 1000 where it named none.
pub fn close_answer(code: Option<u16>) -> Bytes {
    let code = code.unwrap_or_else(|| Farewell::Normal.code());
    frame_bytes(OpCode::Close, &code.to_be_bytes())
}

/// A Ping; clients answer it by themselves.
pub fn ping_frame() -> Bytes {
    frame_bytes(OpCode::Ping, b"")
}

/// The answer to a Ping.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame_bytes(OpCode::Pong, payload)
}

/// The header of an unmasked, unfragmented frame, and how many of the bytes it
/// takes.
fn header(opcode: OpCode, length: usize) -> ([u8; LONGEST_HEADER], usize) {
    let mut header = [0; LONGEST_HEADER];
    let mut rest = header.as_mut_slice();
    rest.put_u8(0b1000_0000 | u8::from(opcode));
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => rest.put_u8(short),
        (_, Ok(medium)) => {
            rest.put_u8(126);
            rest.put_u16(medium);
        }
        _ => {
            rest.put_u8(127);
            rest.put_u64(length as u64);
        }
    }
    let size = LONGEST_HEADER - rest.len();
    (header, size)
}
