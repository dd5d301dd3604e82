//! The clients, and how each of them writes.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context, bail};
use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};

use crate::{
    chat::{Dialect, Kind},
    frames, token,
};

/// From so many addresses clients connect, so that ports do not run short.
const SOURCES: u8 = 8;

/// Who connects, and what for.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    path: String,
    /// What tells that the connection is ready; where nothing does, the 101.
    ready_at: Option<Kind>,
    token: Option<String>,
}

impl Visitor {
    /// A user that joins a room, or none.
    fn new(dialect: Dialect, user: &str, room: Option<&str>) -> anyhow::Result<Self> {
        let path = room.map_or_else(|| "/ws".to_owned(), |room| format!("/ws?room={room}"));
        let (ready_at, token) = match dialect {
            Dialect::Server => {
                let ready_at = if room.is_some() { Kind::Joined } else { Kind::Welcome };
                (Some(ready_at), Some(token::mint(user)?))
            }
            Dialect::Floor => (None, None),
        };
        Ok(Self { path, ready_at, token })
    }

    /// Somebody who is told what they say.
    pub(crate) fn echo() -> Self {
        Self { path: "/ws/echo".to_owned(), ready_at: None, token: None }
    }

    /// Many users: the room of each, if any, is what `room` says of its number.
    pub(crate) fn many(
        dialect: Dialect,
        count: usize,
        room: impl Fn(usize) -> Option<String>,
    ) -> anyhow::Result<Vec<Self>> {
        (0..count).map(|n| Self::new(dialect, &user(n), room(n).as_deref())).collect()
    }

    fn request(&self) -> Vec<u8> {
        let Self { path, token, .. } = self;
        let authorization =
            token.as_ref().map_or_else(String::new, |it| format!("Authorization: Bearer {it}\r\n"));
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        )
        .into_bytes()
    }
}

/// The name of the user of so many.
pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The 101 is awaited.
    Asked,
    /// The message that makes it ready is awaited.
    Upgraded,
    Ready,
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) stage: Stage,
    pub(crate) ready_at: Option<Kind>,
    /// When it was begun, in nanoseconds.
    pub(crate) began: u64,
    /// How many bytes it was told.
    pub(crate) told: u64,
    /// The beginning of a frame whose end has not come.
    pub(crate) partial: Vec<u8>,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
}

/// All connections of a run.
pub(crate) struct Clients {
    /// Where the next ones connect to.
    pub(crate) address: SocketAddr,
    dialect: Dialect,
    pub(crate) list: Vec<Client>,
}

impl Clients {
    pub(crate) fn new(address: SocketAddr, dialect: Dialect) -> Self {
        Self { address, dialect, list: Vec::new() }
    }

    /// Begins to connect one more.
    pub(crate) fn open(
        &mut self,
        visitor: &Visitor,
        registry: &Registry,
        now: u64,
    ) -> anyhow::Result<()> {
        let number = self.list.len();
        let source = 2 + u8::try_from(number % usize::from(SOURCES))?;
        let mut stream = connect(Ipv4Addr::new(127, 0, 0, source), self.address)
            .with_context(|| format!("connection {number}"))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(number), interest)?;
        self.list.push(Client {
            stream,
            stage: Stage::Asked,
            ready_at: visitor.ready_at,
            began: now,
            told: 0,
            partial: Vec::new(),
            // Leaves when the socket is connected.
            unsent: visitor.request(),
        });
        Ok(())
    }

    /// Sends messages of one client, in one write.
    pub(crate) fn send<'a>(
        &mut self,
        client: usize,
        messages: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<()> {
        // The bare loop is spared the unmasking.
        let mask = match self.dialect {
            Dialect::Server => [0x37, 0xfa, 0x21, 0x3d],
            Dialect::Floor => [0; 4],
        };
        let mut bytes = Vec::new();
        for message in messages {
            frames::put_masked(&mut bytes, frames::opcode::TEXT, message.as_bytes(), mask);
        }
        self.list.get_mut(client).context("no such client")?.write(&bytes)
    }
}

impl Client {
    /// Answers a Ping.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = Vec::new();
        frames::put_masked(&mut frame, frames::opcode::PONG, payload, [0; 4]);
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let waits = !self.unsent.is_empty();
        self.unsent.extend_from_slice(bytes);
        if waits { Ok(()) } else { self.flush() }
    }

    /// Writes what the socket did not take.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Not connected yet.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => bail!("writing to the server: {error}"),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }
}

fn connect(source: Ipv4Addr, target: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Ends with a reset, which leaves no port in TIME_WAIT.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error.into()),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The system's name for a connection that is being made.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();
