use bytes::Bytes;

use crate::model::Farewell;

/// How many fragments of one message may be empty. They cost no memory, but a
/// message that only they continue never ends and is never counted.
const EMPTY_FRAGMENTS: usize = 1000;

/// A message whose last fragment has not come.
///
/// The bytes are copied: a fragment that kept its part of the read buffer alive
/// would keep all of that buffer, so that small fragments held far more memory
/// than they carry.
#[derive(Debug)]
pub(super) struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
    empty: usize,
}

impl Fragments {
    /// A message of which nothing has come.
    pub(super) fn new(is_text: bool) -> Self {
        Self { is_text, bytes: Vec::new(), empty: 0 }
    }

    /// Whether the message is text.
    pub(super) fn is_text(&self) -> bool {
        self.is_text
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes a fragment that is not the last.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Farewell> {
        self.empty += usize::from(payload.is_empty());
        if self.empty > EMPTY_FRAGMENTS {
            return Err(Farewell::ProtocolError);
        }
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// The message that ends with this fragment.
    pub(super) fn join(mut self, last: &[u8]) -> Bytes {
        self.bytes.extend_from_slice(last);
        self.bytes.into()
    }
}
