use actix_http::ws::OpCode;

use crate::model::Farewell;

const FIN: u8 = 0b1000_0000;
const RESERVED: u8 = 0b0111_0000;
const OPCODE: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const LENGTH: u8 = 0b0111_1111;

/// The payload of a control frame is at most this long (RFC 6455, section 5.5).
const CONTROL_PAYLOAD: u64 = 125;

/// What stands before a frame's payload.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) opcode: OpCode,
    /// The bytes of the payload.
    pub(super) length: usize,
    /// The bytes of the header itself.
    pub(super) size: usize,
    /// What the payload is masked with.
    pub(super) mask: [u8; 4],
}

/// Reads the header at the start of `bytes`, or none where it is not whole yet.
///
/// `fragmented` tells whether a message waits for its continuation, `room` how
/// many bytes a data frame may add to it. Every rule is applied as soon as the
/// byte it speaks of is there: what breaks one is not waited for.
pub(super) fn judge(
    bytes: &[u8],
    fragmented: bool,
    room: usize,
) -> Result<Option<Header>, Farewell> {
    let Some((&first, bytes)) = bytes.split_first() else { return Ok(None) };
    let opcode = OpCode::from(first & OPCODE);
    let fin = first & FIN != 0;
    let (allowed, control) = match opcode {
        OpCode::Text | OpCode::Binary => (!fragmented, false),
        OpCode::Continue => (fragmented, false),
        OpCode::Ping | OpCode::Pong | OpCode::Close => (fin, true),
        OpCode::Bad => (false, false),
    };
    // No extension is negotiated that could give the reserved bits a meaning.
    if !allowed || first & RESERVED != 0 {
        return Err(Farewell::ProtocolError);
    }

    let Some((&second, bytes)) = bytes.split_first() else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(Farewell::ProtocolError);
    }
    let short = u64::from(second & LENGTH);
    // A Close says nothing or at least its code, of two bytes.
    if (control && short > CONTROL_PAYLOAD) || (opcode == OpCode::Close && short == 1) {
        return Err(Farewell::ProtocolError);
    }
    let Some((length, bytes)) = length(short, bytes)? else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| Farewell::TooLarge)?;
    if !control && length > room {
        return Err(Farewell::TooLarge);
    }

    let Some(&mask) = bytes.first_chunk() else { return Ok(None) };
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    Ok(Some(Header { opcode, length, size: 2 + extended + mask.len(), mask }))
}

/// The payload's length and what follows it. A length has to stand in its
/// shortest form, and the first of 64 bits has to be zero.
fn length(short: u64, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, Farewell> {
    let (length, bytes, least) = match short {
        126 => {
            let Some((length, bytes)) = bytes.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), bytes, 126)
        }
        127 => {
            if bytes.first().is_some_and(|byte| byte & 0b1000_0000 != 0) {
                return Err(Farewell::ProtocolError);
            }
            let Some((length, bytes)) = bytes.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*length), bytes, 1 << 16)
        }
        short => (short, bytes, 0),
    };
    if length < least { Err(Farewell::ProtocolError) } else { Ok(Some((length, bytes))) }
}
