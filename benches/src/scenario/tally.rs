//! Whether each message reached each member once and in order.

use anyhow::{Context, bail, ensure};

use crate::stamp::{Finder, SeqFinder, Stamp};

/// What each client has been told of the one publisher of its room.
pub(super) struct Tally {
    clients: Vec<Told>,
    stamps: Finder,
    seqs: SeqFinder,
    /// How many messages all clients were told, taken together.
    pub(super) total: u64,
}

#[derive(Clone, Default)]
struct Told {
    number: u32,
    /// None before the first message.
    seq: Option<u64>,
}

impl Tally {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            clients: vec![Told::default(); clients],
            stamps: Finder::default(),
            seqs: SeqFinder::default(),
            total: 0,
        }
    }

    /// A client was told a chat: it has to be the next one of its publisher, at
    /// the next place of the log, or with `gaps` at a later one.
    pub(super) fn chat(
        &mut self,
        client: usize,
        message: &[u8],
        gaps: bool,
    ) -> anyhow::Result<Stamp> {
        let told = self.clients.get_mut(client).context("no such client")?;
        let Some(stamp) = self.stamps.find(message) else {
            bail!("a message without a stamp: {}", String::from_utf8_lossy(message));
        };
        let expected = told.number + 1;
        ensure!(stamp.number == expected, "message {} where {expected} is due", stamp.number);
        told.number = expected;
        let seq = self.seqs.find(message).context("a message without seq")?;
        if let Some(last) = told.seq {
            let next = last + 1;
            ensure!(seq == next || gaps && seq > next, "seq {seq} after {last}");
        }
        told.seq = Some(seq);
        self.total += 1;
        Ok(stamp)
    }
}
