//! Bytes of a client, whatever they are, give the same frames and the same end
//! however they are cut; nothing panics and an error stays.
//!
//! The first byte is the size of a message, the second that of a chunk.

use bytes::BytesMut;
use rookery::{
    model::Farewell,
    wire::{Decoder, Frame},
};

fn decode<'a>(
    limit: usize,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<Farewell>) {
    let mut decoder = Decoder::new(limit);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(farewell) => {
                    buf.extend_from_slice(chunk);
                    assert_eq!(decoder.decode(&mut buf), Err(farewell));
                    return (frames, Some(farewell));
                }
            }
        }
    }
    (frames, None)
}

pub fn check(data: &[u8]) {
    let [limit, chunk, bytes @ ..] = data else { return };
    let limit = usize::from(*limit);
    let (frames, end) = decode(limit, std::iter::once(bytes));
    for frame in &frames {
        match frame {
            Frame::Text(text) => assert!(text.len() <= limit),
            Frame::Binary(bytes) => assert!(bytes.len() <= limit),
            Frame::Ping(payload) => assert!(payload.len() <= 125),
            Frame::Pong | Frame::Close(_) => {}
        }
    }
    assert_eq!(decode(limit, bytes.chunks(usize::from(*chunk).max(1))), (frames, end));
}
