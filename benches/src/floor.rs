//! The bare write loop: what fan-out costs where a server does nothing but
//! write(2) a ready frame to each socket. It answers the handshake with fixed
//! bytes, hands on what it is sent, and checks nothing.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::SocketAddr,
};

use anyhow::Context;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use socket2::{Domain, Socket, Type};

use crate::frames::{self, opcode};

const LISTENER: Token = Token(usize::MAX);

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Where what a connection sends goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The request has not come.
    Unknown,
    Nowhere,
    Back,
    Room(usize),
}

struct Connection {
    stream: TcpStream,
    way: Way,
    /// The beginning of a request or of a frame.
    partial: Vec<u8>,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// Frames that leave together, where they do.
    batch: Vec<u8>,
}

struct Floor {
    batched: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    names: HashMap<Vec<u8>, usize>,
    rooms: Vec<Room>,
    /// Rooms with a batch.
    full: Vec<usize>,
}

/// Serves until the process is ended.
pub(crate) fn serve(batched: bool) -> anyhow::Result<()> {
    let mut listener = listen()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let mut floor = Floor {
        batched,
        connections: Vec::new(),
        free: Vec::new(),
        names: HashMap::new(),
        rooms: Vec::new(),
        full: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, &poll)?,
                Token(number) => {
                    if event.is_writable() {
                        floor.flush(number);
                    }
                    if event.is_readable() {
                        floor.read(number, &mut scratch);
                    }
                }
            }
        }
        floor.end_turn();
    }
}

fn listen() -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting"),
            };
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest)?;
            let made =
                Connection { stream, way: Way::Unknown, partial: Vec::new(), unsent: Vec::new() };
            match self.connections.get_mut(number) {
                Some(place) => *place = Some(made),
                None => self.connections.push(Some(made)),
            }
        }
    }

    fn read(&mut self, number: usize, scratch: &mut [u8]) {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(number) else { return };
            let read = match connection.stream.read(scratch) {
                Ok(0) => return self.close(number),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(number),
            };
            let bytes = scratch.get(..read).unwrap_or_default();
            let rest = if connection.partial.is_empty() {
                self.take(number, bytes).to_vec()
            } else {
                connection.partial.extend_from_slice(bytes);
                let bytes = std::mem::take(&mut connection.partial);
                self.take(number, &bytes).to_vec()
            };
            if let Some(Some(connection)) = self.connections.get_mut(number) {
                connection.partial = rest;
            }
            if read < scratch.len() {
                return;
            }
        }
    }

    /// Handles what is whole; gives the rest.
    fn take<'a>(&mut self, number: usize, bytes: &'a [u8]) -> &'a [u8] {
        let Some(Some(connection)) = self.connections.get_mut(number) else { return &[] };
        if connection.way == Way::Unknown {
            if !bytes.ends_with(b"\r\n\r\n") {
                return bytes;
            }
            let way = self.way(number, bytes);
            if let Some(Some(connection)) = self.connections.get_mut(number) {
                connection.way = way;
                connection.write(ANSWER);
            }
            return &[];
        }
        let way = connection.way;
        let mut rest = bytes;
        while let Some((frame, behind)) = frames::split_masked(rest) {
            rest = behind;
            if frame.opcode == opcode::TEXT {
                self.hand_on(number, way, frame.payload);
            }
        }
        rest
    }

    fn hand_on(&mut self, number: usize, way: Way, payload: &[u8]) {
        let (Way::Room(room), true) = (way, self.batched) else {
            let mut frame = Vec::with_capacity(payload.len() + 10);
            frames::put(&mut frame, opcode::TEXT, payload);
            match way {
                Way::Room(room) => self.write_all(room, &frame),
                Way::Back => {
                    if let Some(Some(connection)) = self.connections.get_mut(number) {
                        connection.write(&frame);
                    }
                }
                Way::Unknown | Way::Nowhere => {}
            }
            return;
        };
        if let Some(held) = self.rooms.get_mut(room) {
            if held.batch.is_empty() {
                self.full.push(room);
            }
            frames::put(&mut held.batch, opcode::TEXT, payload);
        }
    }

    fn end_turn(&mut self) {
        while let Some(room) = self.full.pop() {
            let Some(held) = self.rooms.get_mut(room) else { continue };
            let mut batch = std::mem::take(&mut held.batch);
            self.write_all(room, &batch);
            batch.clear();
            if let Some(held) = self.rooms.get_mut(room) {
                held.batch = batch;
            }
        }
    }

    fn write_all(&mut self, room: usize, bytes: &[u8]) {
        let Some(room) = self.rooms.get(room) else { return };
        for member in &room.members {
            if let Some(Some(connection)) = self.connections.get_mut(*member) {
                connection.write(bytes);
            }
        }
    }

    /// What the request asks for: `/ws/echo`, `/ws?room=NAME` or `/ws`.
    fn way(&mut self, number: usize, request: &[u8]) -> Way {
        let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if path == b"/ws/echo" {
            return Way::Back;
        }
        let Some(name) = path.strip_prefix(b"/ws?room=") else { return Way::Nowhere };
        let rooms = &mut self.rooms;
        let room = *self.names.entry(name.to_vec()).or_insert_with(|| {
            rooms.push(Room::default());
            rooms.len() - 1
        });
        if let Some(held) = self.rooms.get_mut(room) {
            held.members.push(number);
        }
        Way::Room(room)
    }

    fn flush(&mut self, number: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(number)
            && !connection.unsent.is_empty()
        {
            let unsent = std::mem::take(&mut connection.unsent);
            connection.write(&unsent);
        }
    }

    fn close(&mut self, number: usize) {
        let Some(closed) = self.connections.get_mut(number).and_then(Option::take) else { return };
        if let Way::Room(room) = closed.way
            && let Some(room) = self.rooms.get_mut(room)
        {
            room.members.retain(|member| *member != number);
        }
        self.free.push(number);
    }
}

impl Connection {
    /// Writes, or keeps what the socket does not take. A broken connection is
    /// found out by reading.
    fn write(&mut self, mut bytes: &[u8]) {
        while self.unsent.is_empty() && !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.unsent.extend_from_slice(bytes);
    }
}
