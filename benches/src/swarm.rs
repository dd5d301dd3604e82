//! Thousands of clients on one thread: one epoll, and no more done for a message
//! than to find out which one it is.

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mio::{Events, Poll};

use crate::{
    chat::{Dialect, Kind},
    clients::{Clients, Stage, Visitor},
    drain::Drain,
    frames::{self, opcode},
    latency::Latencies,
};

/// How much is read at once. What comes in less is all there was, which spares
/// a second read.
const SCRATCH: usize = 256 * 1024;

/// So many connections are made at once where their speed is not what counts.
pub(crate) const EAGER: usize = 128;

/// Without an answer for so long a run is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// No message for so long: what joining gave rise to is over.
const QUIET: Duration = Duration::from_millis(300);

/// What clients say, and what they make of what they are told.
pub(crate) trait Traffic {
    /// Sends what is due. Called before each wait.
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn>;

    /// A client was told something.
    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()>;
}

/// What to do after a turn.
pub(crate) enum Turn {
    /// Wait for messages, at most so long.
    Wait(Duration),
    /// The traffic is over.
    Over,
}

/// Clients, and the loop that serves them.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    began: Instant,
    pub(crate) clients: Clients,
    drain: Drain,
    ready: usize,
    /// How long each took to be ready.
    pub(crate) connecting: Latencies,
    /// Pings answered.
    pub(crate) pings: u64,
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr, dialect: Dialect) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; SCRATCH],
            began: Instant::now(),
            clients: Clients::new(address, dialect),
            drain: Drain::default(),
            ready: 0,
            connecting: Latencies::default(),
            pings: 0,
        })
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    /// Connects all of them, so many at once; returns when all are ready.
    pub(crate) fn connect(&mut self, visitors: &[Visitor], at_once: usize) -> anyhow::Result<()> {
        let mut waiting = visitors.iter();
        let all = self.clients.list.len() + visitors.len();
        let mut deadline = Instant::now() + PATIENCE;
        let mut known = self.ready;
        while self.ready < all {
            while self.clients.list.len() - self.ready < at_once
                && let Some(visitor) = waiting.next()
            {
                let now = self.now();
                self.clients.open(visitor, self.poll.registry(), now)?;
            }
            self.wait(Duration::from_millis(100), &mut Ignored::default())?;
            if self.ready > known {
                known = self.ready;
                deadline = Instant::now() + PATIENCE;
            }
            ensure!(Instant::now() < deadline, "{} of {all} connections became ready", self.ready);
        }
        Ok(())
    }

    /// Waits until nobody is told anything any more.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            let mut ignored = Ignored::default();
            self.wait(QUIET / 4, &mut ignored)?;
            if ignored.messages > 0 {
                last = Instant::now();
            }
            ensure!(Instant::now() < deadline, "the clients are told things without end");
        }
        Ok(())
    }

    /// From here on the messages of clients that are not watched are counted in bytes alone.
    pub(crate) fn watch_only(&mut self, is_watched: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        self.drain.begin(&mut self.clients, self.poll.registry(), is_watched)
    }

    /// Waits until all who are not watched were told as much as this client, who is.
    pub(crate) fn all_told_as(&mut self, watched: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.drain.is_even_with(watched, &mut self.clients, &mut self.scratch)? {
            ensure!(Instant::now() < deadline, "not everybody was told what client {watched} was");
            self.wait(Duration::from_millis(1), &mut Ignored::default())?;
        }
        Ok(())
    }

    /// Does nothing for so long but answer Pings.
    pub(crate) fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.wait(left, &mut Ignored::default())?;
        }
    }

    /// Serves the traffic until it is over.
    pub(crate) fn run(&mut self, traffic: &mut impl Traffic) -> anyhow::Result<()> {
        loop {
            let now = self.now();
            match traffic.turn(&mut self.clients, now)? {
                Turn::Wait(time) => self.wait(time, traffic)?,
                Turn::Over => return Ok(()),
            }
        }
    }

    fn wait(&mut self, time: Duration, traffic: &mut impl Traffic) -> anyhow::Result<()> {
        self.drain.turn(&mut self.clients, &mut self.scratch)?;
        let time = self.drain.patience().map_or(time, |due| due.min(time));
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let mut reader = Reader {
            began: self.began,
            clients: &mut self.clients,
            ready: &mut self.ready,
            connecting: &mut self.connecting,
            pings: &mut self.pings,
            traffic,
        };
        for event in &self.events {
            let number = event.token().0;
            if event.is_writable() {
                reader.clients.list.get_mut(number).context("no such client")?.flush()?;
            }
            if event.is_readable() {
                reader
                    .read(number, &mut self.scratch)
                    .with_context(|| format!("client {number}"))?;
            }
        }
        Ok(())
    }
}

struct Reader<'a, T> {
    began: Instant,
    clients: &'a mut Clients,
    ready: &'a mut usize,
    connecting: &'a mut Latencies,
    pings: &'a mut u64,
    traffic: &'a mut T,
}

impl<T: Traffic> Reader<'_, T> {
    fn read(&mut self, number: usize, scratch: &mut [u8]) -> anyhow::Result<()> {
        let client = self.clients.list.get_mut(number).context("no such client")?;
        loop {
            let read = match client.stream.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => bail!("reading: {error}"),
            };
            client.told += read as u64;
            let now = nanos(self.began.elapsed());
            let bytes = scratch.get(..read).unwrap_or_default();
            if client.stage == Stage::Ready && client.partial.is_empty() {
                let rest = self.frames(number, bytes, now)?;
                self.keep(number, rest)?;
            } else {
                client.partial.extend_from_slice(bytes);
                let bytes = std::mem::take(&mut client.partial);
                let rest = match client.stage {
                    Stage::Asked => self.upgraded(number, &bytes, now)?,
                    _ => self.frames(number, &bytes, now)?,
                };
                self.keep(number, rest)?;
            }
            if read < scratch.len() {
                return Ok(());
            }
            return self.read(number, scratch);
        }
    }

    fn keep(&mut self, number: usize, rest: &[u8]) -> anyhow::Result<()> {
        if !rest.is_empty() {
            let client = self.clients.list.get_mut(number).context("no such client")?;
            client.partial.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Looks for the 101; gives what follows it and its frames.
    fn upgraded<'b>(
        &mut self,
        number: usize,
        bytes: &'b [u8],
        now: u64,
    ) -> anyhow::Result<&'b [u8]> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = bytes.windows(END.len()).position(|it| it == END) else {
            return Ok(bytes);
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            bail!("the server answers {:?}", String::from_utf8_lossy(bytes));
        }
        let client = self.clients.list.get_mut(number).context("no such client")?;
        client.stage = Stage::Upgraded;
        if client.ready_at.is_none() {
            self.is_ready(number, now)?;
        }
        self.frames(number, bytes.get(end + END.len()..).unwrap_or_default(), now)
    }

    fn is_ready(&mut self, number: usize, now: u64) -> anyhow::Result<()> {
        let client = self.clients.list.get_mut(number).context("no such client")?;
        client.stage = Stage::Ready;
        *self.ready += 1;
        self.connecting.note(now - client.began);
        Ok(())
    }

    /// Handles all whole frames; gives the rest.
    fn frames<'b>(
        &mut self,
        number: usize,
        mut bytes: &'b [u8],
        now: u64,
    ) -> anyhow::Result<&'b [u8]> {
        while let Some((frame, rest)) = frames::split(bytes) {
            bytes = rest;
            match frame.opcode {
                opcode::TEXT => self.message(number, frame.payload, now)?,
                opcode::PING => {
                    *self.pings += 1;
                    let client = self.clients.list.get_mut(number).context("no such client")?;
                    client.pong(frame.payload)?;
                }
                opcode::CLOSE => {
                    let reason = frame.payload.get(2..).unwrap_or_default();
                    bail!("the server closes: {}", String::from_utf8_lossy(reason));
                }
                other => bail!("a frame of kind {other}"),
            }
        }
        Ok(bytes)
    }

    fn message(&mut self, number: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        let client = self.clients.list.get(number).context("no such client")?;
        if client.stage != Stage::Ready {
            let kind = Kind::of(message);
            if kind == Kind::Error {
                bail!("the server says {}", String::from_utf8_lossy(message));
            }
            if Some(kind) == client.ready_at {
                self.is_ready(number, now)?;
            }
            return Ok(());
        }
        self.traffic.message(number, message, now)
    }
}

/// Nothing is said, and what is told only counted.
#[derive(Default)]
struct Ignored {
    messages: u64,
}

impl Traffic for Ignored {
    fn turn(&mut self, _: &mut Clients, _: u64) -> anyhow::Result<Turn> {
        Ok(Turn::Over)
    }

    fn message(&mut self, _: usize, message: &[u8], _: u64) -> anyhow::Result<()> {
        if Kind::of(message) == Kind::Error {
            bail!("the server says {}", String::from_utf8_lossy(message));
        }
        self.messages += 1;
        Ok(())
    }
}

/// As so many nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
