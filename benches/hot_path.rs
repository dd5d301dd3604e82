//! What is done for each message and for each member it goes to, without
//! sockets: `cargo bench -p rookery-bench`.
#![expect(clippy::expect_used, reason = "a benchmark is given nothing but what it makes up itself")]

use std::{
    cell::Cell,
    hint::black_box,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rookery::{
    model::{
        Author, Body, Epoch, LinkId, Payload, Position, Publication, RoomName, Seq, SessionId,
        UserId,
    },
    outbound::{Bounds, LatestKey, LatestValue, Outbound, Transport},
    room::{Room, Seat, Sees},
    wire::{Decoder, Event, Protocol, command, encode},
};

const MEMBERS: usize = 1000;
const BOUNDS: Bounds =
    Bounds { reliable_messages: 100_000, reliable_bytes: 100 << 20, latest_bytes: 100 << 20 };

/// Takes all, or nothing.
#[derive(Default)]
struct Sink {
    open: Cell<bool>,
}

impl Transport for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.get() {
            Ok(black_box(bytes).len())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

fn room() -> RoomName {
    RoomName::parse("lobby").expect("a name")
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).expect("a name")
}

fn chat(epoch: Epoch, seq: Seq) -> Arc<Publication> {
    let session = Some(SessionId::random("user0"));
    Arc::new(Publication {
        room: room(),
        epoch,
        seq,
        timestamp: 1_767_225_600_000,
        author: Author { user: Some(user(0)), session, echo: true },
        body: Body::Message(Payload::Text("x".repeat(128).into())),
        nonce: None,
    })
}

fn sink(open: bool) -> (Rc<Sink>, Rc<Outbound>) {
    let sink = Rc::new(Sink { open: Cell::new(open) });
    let outbound =
        Outbound::new(LinkId::next(), Protocol::Json, BOUNDS, sink.clone(), Arc::default());
    (sink, Rc::new(outbound))
}

/// A client's frame, masked.
fn masked(text: &str) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_be_bytes());
    frame.extend_from_slice(&mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// One message in.
fn inbound(criterion: &mut Criterion) {
    let text = format!(r#"{{"type":"chat","room":"lobby","content":"{}"}}"#, "x".repeat(128));
    criterion.bench_function("parse a chat", |b| b.iter(|| command::parse(black_box(&text))));
    let frame = masked(&text);
    criterion.bench_function("decode a frame", |b| {
        let mut decoder = Decoder::new(64 * 1024);
        b.iter_batched_ref(
            || BytesMut::from(frame.as_slice()),
            |buffer| decoder.decode(buffer),
            BatchSize::SmallInput,
        );
    });
}

/// One message out, whoever it is for.
fn encoding(criterion: &mut Criterion) {
    let publication = chat(Epoch::random(), 7);
    let event = Event::Published { publication: &publication, own: false };
    criterion.bench_function("encode a chat", |b| {
        b.iter(|| encode(Protocol::Json, black_box(&event)));
    });
}

/// One message to one member.
fn lanes(criterion: &mut Criterion) {
    let frame = Bytes::from(vec![b'x'; 256]);
    criterion.bench_function("send to an idle member", |b| {
        let (_sink, outbound) = sink(true);
        b.iter(|| outbound.send_live(black_box(&frame), 1));
    });

    const WAITING: usize = 64;
    let mut group = criterion.benchmark_group("64 to a stalled member");
    group.throughput(Throughput::Elements(WAITING as u64));
    group.bench_function("messages", |b| {
        b.iter_batched_ref(
            || sink(false),
            |(sink, outbound)| {
                for _ in 0..WAITING {
                    outbound.send_live(&frame, 1);
                }
                sink.open.set(true);
                outbound.resume()
            },
            BatchSize::SmallInput,
        );
    });
    let values: Vec<(LatestKey, LatestValue)> = (0..WAITING)
        .map(|n| {
            let key = LatestKey::Signal(room(), user(n % 16), "cursor".into());
            (key, LatestValue::Frame(frame.clone()))
        })
        .collect();
    group.bench_function("latest values of 16 users", |b| {
        b.iter_batched_ref(
            || sink(false),
            |(sink, outbound)| {
                for (key, value) in &values {
                    outbound.send_latest(&frame, [(key, value)]);
                }
                sink.open.set(true);
                outbound.resume()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// A message to a room of a thousand, but for the socket's own work.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 1,000 members");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    let epoch = Epoch::random();
    let mut lobby = Room::new(room(), Arc::default());
    lobby.begin(Position { epoch, seq: 0 });
    let sees = Sees { presence: true, history: true };
    for number in 0..MEMBERS {
        let user = user(number);
        lobby.seat(Seat {
            protocol: Protocol::Json,
            outbound: sink(true).1,
            user_hash: number as u64,
            session: SessionId::random(user.as_str()),
            user,
            cursor: 0,
            generation: 0,
            sees,
        });
    }
    // Made beforehand: what the broker does is not looked at here.
    const MESSAGES: Seq = 4096;
    let log: Vec<_> = (1..=MESSAGES).map(|seq| chat(epoch, seq)).collect();
    for (name, size) in [("one message", 1), ("64 messages", 64)] {
        let mut seq = 0;
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let from = seq as usize % (log.len() - size);
                    seq = (from + size) as Seq;
                    lobby.begin(Position { epoch, seq: from as Seq });
                    let began = Instant::now();
                    for publication in log.iter().skip(from).take(size) {
                        lobby.publish(publication);
                    }
                    lobby.flush_live();
                    taken += began.elapsed();
                }
                taken
            });
        });
    }
    group.finish();
}

criterion_group!(hot_path, inbound, encoding, lanes, fan_out);
criterion_main!(hot_path);
