//! WebSocket frames: what a client sends is judged and taken apart, what the
//! server sends is put together.
//!
//! Unmasking and framing are the HTTP layer's ([`actix_http::ws::Parser`]). It
//! looks at a frame's size and kind only once the whole frame is buffered, so
//! every header is judged here before the parser sees it.

mod fragments;
mod header;
mod outgoing;
#[cfg(test)]
mod tests;
mod utf8;

pub use actix_http::ws::OpCode;
use actix_http::ws::Parser;
use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;

pub use self::outgoing::{
    close_answer, close_frame, frame_bytes, frame_of, ping_frame, pong_frame,
};
use self::{fragments::Fragments, header::Header, utf8::Utf8Check};
use crate::model::Farewell;

/// What a client sent, fragments joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(ByteString),
    /// A binary message.
    Binary(Bytes),
    /// To be answered with [`pong_frame`] and the same payload.
    Ping(Bytes),
    /// A sign of life.
    Pong,
    /// The client closes, with the code it gave; nothing it sends after this is
    /// looked at.
    Close(Option<u16>),
}

/// Takes frames out of the bytes of one client.
#[derive(Debug)]
pub struct Decoder {
    /// The size of a message, fragments summed.
    max_message: usize,
    /// The message whose last fragment has not come.
    unfinished: Option<Fragments>,
    /// Follows the text of the message that is coming in.
    text: Utf8Check,
    /// How many bytes of the incomplete frame at the buffer's front `text` has
    /// seen already.
    looked_at: usize,
    /// Set by what ends a connection: a `Close` or an error.
    end: Option<Result<(), Farewell>>,
}

impl Decoder {
    /// A decoder at the start of a connection that refuses messages of more
    /// than `max_message` bytes, fragments summed.
    pub fn new(max_message: usize) -> Self {
        Self { max_message, unfinished: None, text: Utf8Check::default(), looked_at: 0, end: None }
    }

    /// The next frame in `buf`, or none until more bytes have come. What is
    /// taken is removed from `buf`; nothing is reserved in it for what a header
    /// announces.
    ///
    /// # Errors
    /// How the connection has to end. The error is final: it is given again
    /// whatever follows.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, Farewell> {
        if self.end.is_none() {
            let next = self.next(buf);
            match &next {
                Ok(Some(Frame::Close(_))) => self.end = Some(Ok(())),
                Err(farewell) => self.end = Some(Err(*farewell)),
                Ok(_) => return next,
            }
            self.unfinished = None;
            buf.clear();
            return next;
        }
        buf.clear();
        self.end.transpose().map(|_| None)
    }

    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, Farewell> {
        loop {
            let joined = self.unfinished.as_ref().map(Fragments::len);
            let room = self.max_message.saturating_sub(joined.unwrap_or(0));
            let Some(header) = header::judge(buf, joined.is_some(), room)? else {
                return Ok(None);
            };
            if buf.remaining() < header.size.saturating_add(header.length) {
                self.look_ahead(buf, &header)?;
                return Ok(None);
            }
            // The header is judged and the payload is there: the parser has no
            // reason left to refuse the frame or to wait.
            let Ok(Some((fin, opcode, payload))) = Parser::parse(buf, true, header.length) else {
                return Err(Farewell::ProtocolError);
            };
            let payload = payload.unwrap_or_default();
            match opcode {
                OpCode::Ping => return Ok(Some(Frame::Ping(payload.freeze()))),
                OpCode::Pong => return Ok(Some(Frame::Pong)),
                OpCode::Close => return closing(&payload).map(|code| Some(Frame::Close(code))),
                _ => {
                    if let Some(message) = self.data(fin, opcode, payload)? {
                        return Ok(Some(message));
                    }
                }
            }
        }
    }

    /// Checks the text of a frame whose end has not come: a client that sends
    /// no text need not be heard to the end.
    fn look_ahead(&mut self, buf: &[u8], header: &Header) -> Result<(), Farewell> {
        if !self.is_text(header.opcode) {
            return Ok(());
        }
        let unseen = buf.get(header.size + self.looked_at..).unwrap_or_default();
        let mask = header.mask.iter().cycle().skip(self.looked_at % header.mask.len());
        let unmasked: Vec<u8> = unseen.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        self.looked_at += unmasked.len();
        self.text.push(&unmasked)
    }

    /// Takes a whole data frame; gives the message that ends with it.
    fn data(
        &mut self,
        fin: bool,
        opcode: OpCode,
        payload: BytesMut,
    ) -> Result<Option<Frame>, Farewell> {
        let is_text = self.is_text(opcode);
        let looked_at = std::mem::take(&mut self.looked_at);
        if fin && looked_at == 0 && self.unfinished.is_none() {
            return message(is_text, payload.freeze()).map(Some);
        }
        if is_text {
            self.text.push(payload.get(looked_at..).unwrap_or_default())?;
        }
        if fin && is_text {
            self.text.finish()?;
        }
        match (fin, &mut self.unfinished) {
            (true, None) => message(is_text, payload.freeze()).map(Some),
            (true, Some(_)) => {
                let joined = self.unfinished.take().map(|fragments| fragments.join(&payload));
                message(is_text, joined.unwrap_or_default()).map(Some)
            }
            (false, Some(fragments)) => fragments.push(&payload).map(|()| None),
            (false, none) => none.insert(Fragments::new(is_text)).push(&payload).map(|()| None),
        }
    }

    /// Whether a data frame of this kind carries text.
    fn is_text(&self, opcode: OpCode) -> bool {
        match opcode {
            OpCode::Text => true,
            OpCode::Continue => self.unfinished.as_ref().is_some_and(Fragments::is_text),
            _ => false,
        }
    }
}

fn message(is_text: bool, bytes: Bytes) -> Result<Frame, Farewell> {
    if is_text {
        ByteString::try_from(bytes).map(Frame::Text).map_err(|_| Farewell::NotUtf8)
    } else {
        Ok(Frame::Binary(bytes))
    }
}

/// Judges what a Close says. Codes below 1000, those kept for the programs
/// themselves (1004–1006, 1015) and those nobody defined may not be sent.
fn closing(payload: &[u8]) -> Result<Option<u16>, Farewell> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Farewell::ProtocolError) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Farewell::ProtocolError);
    }
    std::str::from_utf8(reason).map(|_| Some(code)).map_err(|_| Farewell::NotUtf8)
}
