//! Peers that mean harm: each is refused or let go, in time, and costs nobody
//! else anything. docs/security.md names what each of these stands for.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    CONTINUATION, Client, PING, Process, TEXT, TestApp, frame, header, patiently,
};

/// Writes bytes to the server and reads what it answers until it hangs up. A
/// server may do so before it has read all.
async fn answer(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..count]);
        }
    };
    let _ = patiently("the end of the connection", async {
        tokio::join!(read, async {
            let _ = writer.write_all(bytes).await;
        })
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether the server is well: another client gets its answer.
async fn serves(client: &mut Client) {
    client.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn a_request_whose_head_never_ends_is_let_go() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let slow = answer(app.port, b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow:?}");
    serves(&mut alice).await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_let_go() {
    let app = TestApp::spawn("").await;
    let head =
        "POST /auth/guest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n{";
    let slow = answer(app.port, head.as_bytes()).await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("bad_message"), "{slow:?}");
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let long = format!("GET /ws HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = (0..1000).map(|number| format!("X-{number}: x\r\n")).collect::<String>();
    let many = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    for bomb in [long, many] {
        let refused = answer(app.port, bomb.as_bytes()).await;
        assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 4"), "{refused:?}");
    }
    serves(&mut alice).await;
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let app = TestApp::spawn("").await;
    // gzip of `{}`, as short as a bomb is long.
    let packed = "\u{1f}\u{8b}\u{8}";
    let request = format!(
        "POST /auth/guest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
         Content-Length: {}\r\n\r\n{packed}",
        packed.len()
    );
    let refused = answer(app.port, request.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("bad_json"), "{refused:?}");
}

#[tokio::test]
async fn compression_is_not_negotiated_and_a_packed_frame_ends_the_connection() {
    let app = TestApp::spawn("").await;
    let offer = "permessage-deflate; client_max_window_bits";
    let mut wire = app.connect("mallory").header("sec-websocket-extensions", offer).wire().await;
    assert_eq!(wire.upgrade.header("sec-websocket-extensions"), None);
    let mut packed = header(0x80 | 0x40 | TEXT, 3);
    packed.extend(b"abc");
    wire.send(&packed).await;
    Client::new(wire).closed().await.assert(1002, "protocol_error");
}

#[tokio::test]
async fn a_flood_of_pings_is_bounded_and_slows_nobody() {
    let process = Process::spawn(&[("ROOKERY__LIMITS__MESSAGES_PER_SECOND", "100000")]).await;
    let mut alice = process.client("alice").await;
    let before = process.resident_bytes();
    let mut wire = process.connect("mallory").receive_buffer(4096).wire().await;
    let pings = frame(true, PING, &[b'x'; 125]).repeat(1000);
    // 26 MB, of whose answers none is read.
    for _ in 0..200 {
        if wire.try_send(&pings).await.is_err() {
            break;
        }
        serves(&mut alice).await;
    }
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "grown by {grown} bytes");
}

#[tokio::test]
async fn fragments_without_anything_in_them_end_the_connection() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let mut wire = app.connect("mallory").wire().await;
    let mut flood = frame(false, TEXT, b"");
    flood.extend(frame(false, CONTINUATION, b"").repeat(2000));
    // It may have been let go before all was written.
    let _ = wire.try_send(&flood).await;
    Client::new(wire).closed().await.assert(1002, "protocol_error");
    serves(&mut alice).await;
}

#[tokio::test]
async fn many_small_fragments_hold_no_more_than_they_carry() {
    let process = Process::spawn(&[]).await;
    let before = process.resident_bytes();
    let mut wires = Vec::new();
    for number in 0..20 {
        let mut wire = process.connect(&format!("mallory-{number}")).wire().await;
        let mut flood = frame(false, TEXT, b"x");
        flood.extend(frame(false, CONTINUATION, b"x").repeat(60_000));
        wire.send(&flood).await;
        wires.push(wire);
    }
    let mut alice = process.client("alice").await;
    serves(&mut alice).await;
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "grown by {grown} bytes for 1.2 MB");
}
