use std::str::from_utf8;

use crate::model::Farewell;

/// Checks text that comes in pieces, which may be cut anywhere, and finds the
/// first wrong byte in the piece that brings it.
#[derive(Debug, Default)]
pub(super) struct Utf8Check {
    /// The start of a code point whose rest has not come: at most three bytes.
    cut: Vec<u8>,
}

impl Utf8Check {
    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), Farewell> {
        while !self.cut.is_empty() {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.cut.push(byte);
            match from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_some() => return Err(Farewell::NotUtf8),
                Err(_) => {}
            }
        }
        match from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(Farewell::NotUtf8),
            Err(error) => {
                self.cut.extend(piece.iter().skip(error.valid_up_to()));
                Ok(())
            }
        }
    }

    /// Ends the text; the next piece belongs to another one.
    pub(super) fn finish(&mut self) -> Result<(), Farewell> {
        if self.cut.is_empty() { Ok(()) } else { Err(Farewell::NotUtf8) }
    }
}
