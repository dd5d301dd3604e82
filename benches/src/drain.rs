//! Clients whose messages are counted in bytes and read by nobody. What they are
//! told is thrown away in the kernel, many messages with one call, so that they
//! cost the generator next to nothing.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mio::Registry;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use socket2::SockRef;

use crate::clients::{Client, Clients};

/// Each is drained so often: what it is told meanwhile has to fit into its socket.
const EVERY: Duration = Duration::from_millis(40);
const ROOM: usize = 1 << 20;
/// So many at once, so that those who are watched do not wait.
const AT_ONCE: usize = 8;

/// The clients that are drained.
#[derive(Default)]
pub(crate) struct Drain {
    clients: Vec<usize>,
    /// Whose turn it is.
    next: usize,
    due: Option<Instant>,
}

impl Drain {
    /// From here on all clients are drained but those that are watched. Of each the
    /// bytes are counted anew: all of them must have been told everything.
    pub(crate) fn begin(
        &mut self,
        clients: &mut Clients,
        registry: &Registry,
        is_watched: impl Fn(usize) -> bool,
    ) -> anyhow::Result<()> {
        for (number, client) in clients.list.iter_mut().enumerate() {
            client.told = 0;
            if !is_watched(number) {
                registry.deregister(&mut client.stream)?;
                SockRef::from(&client.stream).set_recv_buffer_size(ROOM)?;
                self.clients.push(number);
            }
        }
        self.due = (!self.clients.is_empty()).then(Instant::now);
        Ok(())
    }

    /// How long may be waited until it is due again; none where nobody is drained.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Throws away what came to the next ones, if that is due.
    pub(crate) fn turn(&mut self, clients: &mut Clients, scratch: &mut [u8]) -> anyhow::Result<()> {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            let end = (self.next + AT_ONCE).min(self.clients.len());
            self.sweep(self.next..end, clients, scratch)?;
            self.next = if end < self.clients.len() { end } else { 0 };
            let turns = self.clients.len().div_ceil(AT_ONCE);
            self.due = Some(Instant::now() + EVERY / u32::try_from(turns)?);
        }
        Ok(())
    }

    /// Whether each of them was told as many bytes as the client with this number.
    pub(crate) fn is_even_with(
        &self,
        watched: usize,
        clients: &mut Clients,
        scratch: &mut [u8],
    ) -> anyhow::Result<bool> {
        self.sweep(0..self.clients.len(), clients, scratch)?;
        let told = |number: usize| clients.list.get(number).map_or(0, |client| client.told);
        for number in &self.clients {
            ensure!(told(*number) <= told(watched), "client {number} was told too much");
        }
        Ok(self.clients.iter().all(|number| told(*number) == told(watched)))
    }

    fn sweep(
        &self,
        which: Range<usize>,
        clients: &mut Clients,
        scratch: &mut [u8],
    ) -> anyhow::Result<()> {
        for number in self.clients.get(which).unwrap_or_default() {
            let client = clients.list.get_mut(*number).context("no such client")?;
            drain(client, scratch).with_context(|| format!("client {number}"))?;
        }
        Ok(())
    }
}

fn drain(client: &mut Client, scratch: &mut [u8]) -> anyhow::Result<()> {
    loop {
        // Of a TCP socket the flag throws away what would be read; see tcp(7).
        match recv(&client.stream, &mut *scratch, RecvFlags::TRUNC) {
            Ok((_, 0)) => bail!("the server closed the connection"),
            Ok((_, told)) => {
                client.told += told as u64;
                if told < scratch.len() {
                    return Ok(());
                }
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => bail!("reading: {error}"),
        }
    }
}
