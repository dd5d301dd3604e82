//! How connections end: the close codes of the contract.

use serde_json::json;

use crate::harness::{
    BINARY, CLOSE, CONTINUATION, Client, Connect, PING, PONG, TEXT, TestApp, frame, header, since,
};

const FIN: u8 = 0x80;

#[tokio::test]
async fn a_client_s_close_is_answered_and_tcp_ends_at_once() {
    let app = TestApp::spawn("").await;
    for code in [1000, 1001, 3000, 4999] {
        let mut alice = app.client("alice").await;
        alice.wire.send_close(code, "bye").await;
        let answer = alice.wire.next().await.expect("a Close");
        assert_eq!((answer.opcode, &answer.payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
        // The client's side stays open: it is the server that ends TCP.
        let end = tokio::time::timeout(std::time::Duration::from_secs(5), alice.wire.next()).await;
        assert_eq!(end, Ok(None), "TCP stays open after the close handshake");
    }
}

#[tokio::test]
async fn a_close_without_a_code_is_answered() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    alice.wire.send(&frame(true, CLOSE, b"")).await;
    let close = alice.closed().await;
    assert!(matches!(close.code, None | Some(1000)), "{close:?}");
}

#[tokio::test]
async fn a_protocol_error_is_1002() {
    let app = TestApp::spawn("").await;
    let mut unmasked = vec![FIN | TEXT, 2];
    unmasked.extend(b"{}");
    let cases = [
        ("an unmasked frame", unmasked),
        ("a reserved bit", frame(true, 0x40 | TEXT, b"{}")),
        ("a reserved opcode", frame(true, 3, b"")),
        ("a reserved control opcode", frame(true, 11, b"")),
        ("a fragmented control frame", frame(false, PING, b"")),
        ("a control frame over 125 bytes", frame(true, PING, &[0; 126])),
        ("a continuation of nothing", frame(true, CONTINUATION, b"x")),
        (
            "a new message within another",
            [frame(false, TEXT, b"{"), frame(true, TEXT, b"{}")].concat(),
        ),
        ("a Close of one byte", frame(true, CLOSE, &[3])),
        ("a Close with a code that is never sent", frame(true, CLOSE, &1005_u16.to_be_bytes())),
        ("a length with the highest bit set", header(FIN | TEXT, 1 << 63)),
    ];
    for (what, bytes) in cases {
        let mut alice = app.client("alice").await;
        alice.wire.send(&bytes).await;
        let close = alice.closed().await;
        assert_eq!(close.code, Some(1002), "{what}: {close:?}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_1007() {
    let app = TestApp::spawn("").await;
    let cases = [
        frame(true, TEXT, b"{\"type\":\"\xff\"}"),
        frame(true, TEXT, b"\xed\xa0\x80"),
        // Cut within a character, and never completed.
        [frame(false, TEXT, b"\xe2\x98"), frame(true, CONTINUATION, b"x")].concat(),
        frame(true, CLOSE, b"\x03\xe8\xff"),
    ];
    for bytes in cases {
        let mut alice = app.client("alice").await;
        alice.wire.send(&bytes).await;
        let close = alice.closed().await;
        assert_eq!(close.code, Some(1007), "{bytes:x?}: {close:?}");
    }
}

#[tokio::test]
async fn a_binary_frame_is_1003() {
    let app = TestApp::spawn("").await;
    for offer in ["", "rookery.v1"] {
        let connect = app.connect("alice");
        let connect = if offer.is_empty() { connect } else { connect.protocols(offer) };
        let mut alice = connect.client().await;
        alice.wire.send(&frame(true, BINARY, br#"{"type":"ping"}"#)).await;
        alice.closed().await.assert(1003, "unsupported_data");
    }
}

/// A `ping` message that is `bytes` long.
fn ping_of(bytes: usize) -> Vec<u8> {
    let empty = br#"{"type":"ping","pad":""}"#.len();
    format!(r#"{{"type":"ping","pad":"{}"}}"#, "x".repeat(bytes - empty)).into_bytes()
}

#[tokio::test]
async fn a_message_of_message_bytes_is_taken_and_one_byte_more_is_1009() {
    let app = TestApp::spawn("limits.message_bytes = 1000").await;
    let mut alice = app.client("alice").await;
    alice.wire.send(&frame(true, TEXT, &ping_of(1000))).await;
    alice.expect("pong").await;
    alice.wire.send(&frame(true, TEXT, &ping_of(1001))).await;
    alice.closed().await.assert(1009, "too_large");
}

#[tokio::test]
async fn fragments_are_joined_and_summed() {
    let app = TestApp::spawn("limits.message_bytes = 1000").await;
    let mut alice = app.client("alice").await;
    let message = ping_of(1000);
    let (first, rest) = message.split_at(300);
    let (second, third) = rest.split_at(300);
    alice.wire.send(&frame(false, TEXT, first)).await;
    // A control frame may stand between fragments.
    alice.wire.send(&frame(true, PING, b"between")).await;
    assert_eq!(alice.wire.next().await.expect("a Pong").opcode, PONG);
    alice.wire.send(&frame(false, CONTINUATION, second)).await;
    alice.wire.send(&frame(false, CONTINUATION, b"")).await;
    alice.wire.send(&frame(true, CONTINUATION, third)).await;
    alice.expect("pong").await;

    alice.wire.send(&frame(false, TEXT, first)).await;
    alice.wire.send(&frame(false, CONTINUATION, second)).await;
    // The sum is judged on this header; its payload never comes.
    alice.wire.send(&header(FIN | CONTINUATION, 401)).await;
    alice.closed().await.assert(1009, "too_large");
}

#[tokio::test]
async fn a_frame_too_large_is_refused_on_its_header() {
    let app = TestApp::spawn("server.echo = true").await;
    for announced in [64 * 1024 + 1, 8 << 30, (1 << 63) - 1] {
        let mut alice = app.client("alice").await;
        alice.wire.send(&header(FIN | TEXT, announced)).await;
        alice.closed().await.assert(1009, "too_large");
    }
    let echo = Connect::new(*app, "/ws/echo").bearer(&app.token("alice"));
    let mut client = Client::new(echo.wire().await);
    client.wire.send(&header(FIN | BINARY, 8 << 30)).await;
    client.closed().await.assert(1009, "too_large");
}

#[tokio::test]
async fn a_reader_too_slow_for_the_reliable_lane_is_disconnected_and_resumes() {
    let app = TestApp::spawn(
        "limits.messages_per_second = 100000\noutbound.reliable_messages = 50\n\
         rooms.history_size = 100000\nrooms.history_bytes = 1000000000",
    )
    .await;
    let mut writer = app.member("writer", "lobby").await;
    let mut slow = app.connect("slow").receive_buffer(4096).client().await;
    let joined = slow.join("lobby").await;
    // More than the kernel and the lane hold, and the reader reads nothing of it.
    let content = "x".repeat(16 * 1024);
    let written = 600;
    for _ in 0..written {
        let chat = json!({"type": "chat", "room": "lobby", "content": content, "echo": false});
        writer.write(chat).await;
    }
    app.until_connections(1).await;
    // Now it reads: the beginning of the log in order, and the end of TCP. The
    // Close behind a full socket is best effort.
    let mut position = since(&joined);
    let mut last = 0;
    let close = loop {
        match slow.try_next().await {
            Ok(message) if message["type"] == "chat" => {
                last += 1;
                assert_eq!(message["seq"], last);
            }
            Ok(_) => {}
            Err(close) => break close,
        }
    };
    assert!(last < written, "no message was missed, so nothing was tested");
    if close.code.is_some() {
        close.assert(1013, "slow_consumer");
    }
    position["seq"] = json!(last);
    let mut again = app.client("slow").await;
    let joined = again.resume("lobby", &position).await;
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(written)));
    let missed = joined["messages"].as_array().map(Vec::len);
    assert_eq!(missed, Some(written - last));
}

#[tokio::test]
async fn an_overflow_of_the_reliable_lane_is_told_as_slow_consumer() {
    let app =
        TestApp::spawn("limits.messages_per_second = 100000\noutbound.reliable_messages = 50")
            .await;
    let mut writer = app.member("writer", "lobby").await;
    let mut slow = app.connect("slow").receive_buffer(4096).client().await;
    slow.join("lobby").await;
    let content = "x".repeat(16 * 1024);
    let flood = async {
        for _ in 0..2_000 {
            let chat = json!({"type": "chat", "room": "lobby", "content": content, "echo": false});
            writer.write(chat).await;
            if app.connections().await == 1 {
                break;
            }
        }
    };
    // A slow reader, not a stalled one: what it is told gets through.
    let trickle = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            if let Err(close) = slow.try_next().await {
                return close;
            }
        }
    };
    let (_, close) = tokio::join!(flood, trickle);
    close.assert(1013, "slow_consumer");
}
