use bytes::{Buf, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Response, Stream, patiently};

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of a masked frame, its mask included, that announces `length`
/// bytes. `first` is the first byte: FIN, reserved bits and opcode.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(MASKED | length as u8),
        126..=0xffff => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// A whole masked frame.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(if fin { FIN | opcode } else { opcode }, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Bytes,
}

/// An upgraded connection, seen as frames and raw bytes. It reads only when
/// asked to, so it can play a reader that stalled.
pub struct Wire {
    stream: Stream,
    /// The 101 response.
    pub upgrade: Response,
    input: BytesMut,
    /// What is still to be written: kept here so that a cancelled read or write
    /// leaves no half frame behind.
    output: BytesMut,
    /// Whether a Ping is answered, as it should.
    pub answers_pings: bool,
}

impl Wire {
    pub fn new(stream: Stream, upgrade: Response, rest: &[u8]) -> Self {
        Self { stream, upgrade, input: rest.into(), output: BytesMut::new(), answers_pings: true }
    }

    /// The next frame, or `None` where the server ended TCP. Safe to cancel.
    pub async fn next(&mut self) -> Option<Frame> {
        patiently("a frame", async {
            loop {
                if let Some(frame) = take_frame(&mut self.input) {
                    if frame.opcode == PING && self.answers_pings {
                        self.output.extend(self::frame(true, PONG, &frame.payload));
                        // A server that is gone is found out by the next read.
                        let _ = self.flush().await;
                    }
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        while !self.output.is_empty() {
            self.stream.write_buf(&mut self.output).await?;
        }
        self.stream.flush().await
    }

    /// Writes these very bytes. The error is the peer's having gone.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.output.extend_from_slice(bytes);
        patiently("room in the socket", self.flush()).await
    }

    /// Writes these very bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the connection is open");
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(&frame(true, TEXT, text.as_bytes())).await;
    }

    /// Sends a Close with `code` and `reason`.
    pub async fn send_close(&mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.as_bytes());
        self.send(&frame(true, CLOSE, &payload)).await;
    }

    /// What was agreed on in the handshake of TLS.
    pub fn tls(&self) -> &rustls::ClientConnection {
        self.stream.session()
    }

    /// The socket below.
    pub fn socket(&self) -> socket2::SockRef<'_> {
        self.stream.socket()
    }

    /// Reads until the server ends TCP.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Cuts the connection without a word: RST, no FIN, no Close.
    pub fn cut(self) {
        self.stream.socket().set_linger(Some(Duration::ZERO)).expect("the socket takes SO_LINGER");
    }
}

fn take_frame(input: &mut BytesMut) -> Option<Frame> {
    let first = *input.first()?;
    let second = *input.get(1)?;
    assert_eq!(first & 0xf0, FIN, "a server's frame is whole and has no reserved bit set");
    assert_eq!(second & MASKED, 0, "a server's frame is not masked");
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?) as usize, 10),
        length => (usize::from(length), 2),
    };
    if input.len() < start + length {
        return None;
    }
    input.advance(start);
    Some(Frame { opcode: first & 0x0f, payload: input.split_to(length).freeze() })
}
