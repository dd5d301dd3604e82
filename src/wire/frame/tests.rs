use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// A client's frame as bytes; `first` is the byte with FIN and opcode.
fn client(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn whole(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    client(first, [0x12, 0xfe, 0x80, 0x01], payload.as_ref())
}

/// All frames in the chunks, and the error they end with.
fn decode<C: AsRef<[u8]>>(
    limit: usize,
    chunks: impl IntoIterator<Item = C>,
) -> (Vec<Frame>, Option<Farewell>) {
    let mut decoder = Decoder::new(limit);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        buf.extend_from_slice(chunk.as_ref());
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(farewell) => return (frames, Some(farewell)),
            }
        }
    }
    (frames, None)
}

fn one(bytes: impl AsRef<[u8]>) -> (Vec<Frame>, Option<Farewell>) {
    decode(LIMIT, [bytes])
}

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

#[test]
fn every_kind_of_frame_is_taken() {
    let bytes = [
        whole(0x81, "é"),
        whole(0x82, [0, 255]),
        whole(0x89, "p"),
        whole(0x8a, "q"),
        whole(0x81, ""),
        whole(0x88, [3, 232, b'x']),
        whole(0x81, "late"),
    ]
    .concat();
    let frames = vec![
        text("é"),
        Frame::Binary(Bytes::from_static(&[0, 255])),
        Frame::Ping(Bytes::from_static(b"p")),
        Frame::Pong,
        text(""),
        Frame::Close(Some(1000)),
    ];
    assert_eq!(one(&bytes), (frames.clone(), None));
    assert_eq!(decode(LIMIT, bytes.chunks(1)), (frames, None));
}

#[test]
fn fragments_are_joined_around_control_frames() {
    let bytes = [
        whole(0x01, &"\u{20ac}".as_bytes()[..2]),
        whole(0x89, ""),
        whole(0x00, ""),
        whole(0x00, &"\u{20ac}".as_bytes()[2..]),
        whole(0x8a, ""),
        whole(0x80, "!"),
        whole(0x82, ""),
    ]
    .concat();
    let frames = vec![
        Frame::Ping(Bytes::new()),
        Frame::Pong,
        text("\u{20ac}!"),
        Frame::Binary(Bytes::new()),
    ];
    assert_eq!(one(bytes), (frames, None));
}

#[test]
fn a_header_is_refused_at_the_byte_that_is_wrong() {
    let refused: &[&[u8]] = &[
        &[0xc1],               // reserved bits
        &[0xa1],               //
        &[0x91],               //
        &[0x83],               // unknown opcodes
        &[0x8b],               //
        &[0x80],               // a continuation of nothing
        &[0x00],               //
        &[0x08],               // fragmented control frames
        &[0x09],               //
        &[0x81, 0x05],         // unmasked
        &[0x89, 0xfe],         // long control frames
        &[0x88, 0xff],         //
        &[0x88, 0x81],         // half a close code
        &[0x81, 0xfe, 0, 125], // lengths not in their shortest form
        &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[0x81, 0xff, 0x80], // a length that is negative
    ];
    for bytes in refused {
        assert_eq!(one(bytes), (vec![], Some(Farewell::ProtocolError)), "{bytes:x?}");
        let but_last = &bytes[..bytes.len() - 1];
        assert_eq!(one(but_last), (vec![], None), "{bytes:x?}");
    }
    for second in [0x01, 0x82] {
        let bytes = [whole(0x01, "a"), vec![second]].concat();
        assert_eq!(one(bytes).1, Some(Farewell::ProtocolError), "a message inside a message");
    }
}

#[test]
fn the_limit_is_applied_to_what_a_header_announces() {
    let announced = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes()].concat();
    assert_eq!(decode(70_000, [announced(70_001)]).1, Some(Farewell::TooLarge));
    assert_eq!(decode(70_000, [announced(1 << 62)]).1, Some(Farewell::TooLarge));
    assert_eq!(decode(70_000, [announced(70_000)]), (vec![], None));
    assert_eq!(decode(125, [[0x81, 0xfe, 0, 126]]).1, Some(Farewell::TooLarge));
    assert_eq!(decode(4, [[0x81, 0x85]]).1, Some(Farewell::TooLarge));
    assert_eq!(decode(5, [whole(0x81, "12345")]), (vec![text("12345")], None));
    assert_eq!(decode(0, [whole(0x89, "12345")]).1, None, "control frames are not messages");
}

#[test]
fn the_limit_sums_the_fragments() {
    let start = [whole(0x01, "123"), whole(0x00, "4"), whole(0x89, "a ping is not counted")];
    let bytes = start.concat();
    assert_eq!(decode(5, [&bytes[..], &[0x80, 0x82]]).1, Some(Farewell::TooLarge));
    let (frames, end) = decode(5, [bytes, whole(0x80, "5")]);
    assert_eq!((frames.last(), end), (Some(&text("12345")), None));
}

#[test]
fn an_announced_payload_takes_no_memory() {
    let mut decoder = Decoder::new(1 << 30);
    let mut buf = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 2, 3, 4, 5][..]);
    assert_eq!(decoder.decode(&mut buf), Ok(None));
    assert!(buf.capacity() < 100, "{}", buf.capacity());
}

#[test]
fn a_message_of_nothing_does_not_go_on_for_ever() {
    let mut bytes = whole(0x01, "");
    bytes.extend(whole(0x00, "").repeat(999));
    assert_eq!(one(&bytes), (vec![], None));
    assert_eq!(one([&bytes[..], &whole(0x80, "")].concat()), (vec![text("")], None));
    assert_eq!(one([bytes, whole(0x00, "")].concat()).1, Some(Farewell::ProtocolError));
}

#[test]
fn text_is_checked_as_it_comes() {
    // The last is cut inside a code point that no further byte can make valid.
    for (good, bad) in [("a", &[0xff][..]), ("é", &[0xe2, 0x28]), ("", &[0xf4, 0x90])] {
        let payload = [good.as_bytes(), bad].concat();
        let whole_frame = whole(0x81, [&payload[..], b"...."].concat());
        assert_eq!(one(&whole_frame), (vec![], Some(Farewell::NotUtf8)));
        let wrong_byte = 6 + payload.len();
        assert_eq!(one(&whole_frame[..wrong_byte]), (vec![], Some(Farewell::NotUtf8)));
        assert_eq!(one(&whole_frame[..wrong_byte - 1]), (vec![], None));
        assert_eq!(one(whole(0x01, &payload)), (vec![], Some(Farewell::NotUtf8)), "a fragment");
        let split =
            [whole(0x01, &payload[..payload.len() - 1]), whole(0x00, &bad[bad.len() - 1..])];
        assert_eq!(one(split.concat()), (vec![], Some(Farewell::NotUtf8)), "the next fragment");
    }
    let cut = whole(0x81, [0xe2, 0x82]);
    assert_eq!(one(&cut), (vec![], Some(Farewell::NotUtf8)), "cut at the end of the message");
    let cut = [whole(0x01, [0xe2]), whole(0x80, [0x82])].concat();
    assert_eq!(one(cut), (vec![], Some(Farewell::NotUtf8)), "cut at the end of the fragments");
    assert_eq!(one(whole(0x82, [0xff])).1, None, "binary messages are not text");
}

#[test]
fn a_close_is_judged() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999_u16] {
        let payload = [&code.to_be_bytes()[..], "r\u{e9}ason".as_bytes()].concat();
        assert_eq!(one(whole(0x88, payload)), (vec![Frame::Close(Some(code))], None), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        let payload = code.to_be_bytes();
        assert_eq!(one(whole(0x88, payload)).1, Some(Farewell::ProtocolError), "{code}");
    }
    assert_eq!(one(whole(0x88, [])), (vec![Frame::Close(None)], None));
    assert_eq!(one(whole(0x88, [3, 232, 0xff])).1, Some(Farewell::NotUtf8));
}

#[test]
fn an_error_is_final_and_so_is_a_close() {
    for (bytes, end) in [
        (vec![0xff], Err(Farewell::ProtocolError)),
        (whole(0x88, []), Ok(Some(Frame::Close(None)))),
    ] {
        let mut decoder = Decoder::new(LIMIT);
        assert_eq!(decoder.decode(&mut BytesMut::from(&bytes[..])), end);
        for _ in 0..2 {
            let mut buf = BytesMut::from(&whole(0x81, "late")[..]);
            assert_eq!(decoder.decode(&mut buf), end.clone().map(|_| None));
            assert!(buf.is_empty(), "what comes late is not kept");
        }
    }
}

#[test]
fn headers_of_the_server_carry_the_length() {
    for length in (0..300).chain(65_000..66_000).chain([70_000]) {
        let payload = vec![7; length];
        let frame = frame_bytes(OpCode::Binary, &payload);
        let mut parsed = BytesMut::from(&frame[..]);
        let (fin, opcode, body) = Parser::parse(&mut parsed, false, LIMIT).unwrap().unwrap();
        assert!(fin && parsed.is_empty());
        assert_eq!(opcode, OpCode::Binary);
        assert_eq!(body.unwrap_or_default(), payload);
        let header = [2, 4, 10][usize::from(length > 125) + usize::from(length > 65_535)];
        assert_eq!(frame.len() - length, header, "the shortest form of {length}");
    }
}

#[test]
fn control_frames_of_the_server() {
    assert_eq!(close_frame(Farewell::Normal), &[0x88, 2, 3, 0xe8][..]);
    assert_eq!(close_frame(Farewell::SlowConsumer), &b"\x88\x0f\x03\xf5slow_consumer"[..]);
    assert_eq!(ping_frame(), &[0x89, 0][..]);
    assert_eq!(pong_frame(b"ab"), &b"\x8a\x02ab"[..]);
}

/// A message cut into fragments, each with its mask.
#[derive(Debug, Clone)]
struct Sent {
    message: Result<String, Vec<u8>>,
    cuts: Vec<(usize, [u8; 4])>,
    pings: bool,
}

impl Sent {
    fn frame(&self) -> Frame {
        match &self.message {
            Ok(message) => text(message),
            Err(bytes) => Frame::Binary(bytes.clone().into()),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (mut opcode, mut rest) = match &self.message {
            Ok(text) => (1, text.as_bytes()),
            Err(bytes) => (2, &bytes[..]),
        };
        let mut bytes = Vec::new();
        for (at, mask) in &self.cuts {
            let (fragment, after) = rest.split_at(at % (rest.len() + 1));
            bytes.extend(client(opcode, *mask, fragment));
            if self.pings {
                bytes.extend(whole(0x8a, b"between"));
            }
            (opcode, rest) = (0, after);
        }
        bytes.extend(client(0x80 | opcode, [9, 8, 7, 6], rest));
        bytes
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        "\\PC{0,40}".prop_map(Ok),
        prop::collection::vec(any::<char>(), 0..200).prop_map(|text| Ok(text.iter().collect())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Err),
    ];
    let cuts = prop::collection::vec(any::<(usize, [u8; 4])>(), 0..6);
    (message, cuts, any::<bool>()).prop_map(|(message, cuts, pings)| Sent { message, cuts, pings })
}

/// Bytes that are often nearly frames.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let near = (any::<u8>(), any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..140))
        .prop_map(|(first, mask, payload)| client(first & 0x8f, mask, &payload));
    let pieces = prop_oneof![near, prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(bytes.len());
    let mut from = 0;
    ends.iter().map(|&to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

proptest! {
    #[test]
    fn messages_come_through_however_they_are_cut(sent in prop::collection::vec(sent(), 0..5)) {
        let bytes: Vec<u8> = sent.iter().flat_map(Sent::bytes).collect();
        let (mut frames, end) = one(bytes);
        frames.retain(|frame| *frame != Frame::Pong);
        prop_assert_eq!(frames, sent.iter().map(Sent::frame).collect::<Vec<_>>());
        prop_assert_eq!(end, None);
    }

    #[test]
    fn chunks_make_no_difference(
        sent in prop::collection::vec(sent(), 0..4),
        noise in noise(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = [sent.iter().flat_map(Sent::bytes).collect(), noise].concat();
        let at_once = decode(200, [&bytes]);
        prop_assert_eq!(&decode(200, cut(&bytes, &cuts)), &at_once);
        prop_assert_eq!(&decode(200, bytes.chunks(1)), &at_once);
    }

    #[test]
    fn noise_is_survived_and_errors_are_final(pieces in prop::collection::vec(noise(), 0..6)) {
        let mut decoder = Decoder::new(100);
        let mut buf = BytesMut::new();
        let mut end = None;
        for piece in pieces {
            buf.extend_from_slice(&piece);
            for _ in 0..20 {
                let next = decoder.decode(&mut buf);
                prop_assert!(end.is_none() || next == Err(end.unwrap()));
                end = next.err();
            }
        }
    }
}
