//! WebSocket frames, as little of them as a generator needs.

/// The kind of a frame.
pub(crate) mod opcode {
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// A frame of a server: not masked, not fragmented.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
}

/// The first frame in `bytes`, and what follows it; none while it is incomplete.
pub(crate) fn split(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (length, rest) = length(second & 0x7f, rest)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((Frame { opcode: first & 0x0f, payload }, rest))
}

/// The payload of the first frame of a client, which masks with zeroes; and
/// what follows it.
pub(crate) fn split_masked(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (length, rest) = length(second & 0x7f, rest)?;
    let (_mask, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((Frame { opcode: first & 0x0f, payload }, rest))
}

fn length(short: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    Some(match short {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    })
}

/// Appends a client's frame, masked.
pub(crate) fn put_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    put_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends a server's frame.
pub(crate) fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn put_header(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.push(masked | short),
        (_, Ok(medium)) => {
            out.push(masked | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_split_again() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = Vec::new();
            put(&mut bytes, opcode::TEXT, &payload);
            assert!(split(&bytes[..bytes.len() - 1]).is_none());
            bytes.push(7);
            let (frame, rest) = split(&bytes).unwrap();
            assert_eq!(
                (frame.opcode, frame.payload, rest),
                (1, payload.as_slice(), [7].as_slice())
            );

            let mut bytes = Vec::new();
            put_masked(&mut bytes, opcode::TEXT, &payload, [0; 4]);
            let (frame, rest) = split_masked(&bytes).unwrap();
            assert_eq!((frame.payload, rest.len()), (payload.as_slice(), 0));
        }
    }
}
