//! TLS spoken by the node itself: handshakes, and all that goes over it.

mod certificates;
mod peers;

use rustls::{HandshakeKind, ProtocolVersion, version};
use serde_json::json;

use crate::harness::{
    Certificates, Connect, ECDSA, Endpoint, Process, RSA, TEXT, TestApp, Way, eventually, frame,
    way_of,
};

/// A socket, a stream of events and calls, all to one room.
async fn serves(app: &Endpoint) {
    let mut listener = app.listener("listener", &["lobby"]).await;
    listener.expect("joined").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    alice.chat("lobby", "hello").await;
    assert_eq!(bob.expect("chat").await["content"], "hello");
    assert_eq!(listener.expect("chat").await.data["content"], "hello");
    let post = json!({"type": "chat", "room": "lobby", "content": "posted", "id": 1});
    let said = app.say("listener", listener.session(), &post).await;
    assert_eq!(said.status, 202, "{said:?}");
    alice.until(|message| message["content"] == "posted").await;
    bob.leave().await;
    assert_eq!(app.get("/healthz").await.status, 200);
    let pages = app.get("/").await;
    assert!(pages.body.ends_with("</html>\n"), "a page comes whole");
}

#[tokio::test]
async fn both_versions_and_both_kinds_of_keys_serve_sockets_streams_and_calls() {
    for key in [ECDSA, RSA] {
        let certificates = Certificates::of(key);
        let app = TestApp::spawn_tls(&certificates, "").await;
        for (versions, spoken) in [
            ([&version::TLS13], ProtocolVersion::TLSv1_3),
            ([&version::TLS12], ProtocolVersion::TLSv1_2),
        ] {
            let mut client = certificates.client_of(&versions);
            client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let server = Endpoint { way: way_of(client), ..*app };
            serves(&server).await;
            let wire = server.connect("carol").wire().await;
            assert_eq!(wire.tls().protocol_version(), Some(spoken));
            assert_eq!(wire.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
        }
    }
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_tls_session() {
    for versions in [[&version::TLS13], [&version::TLS12]] {
        let certificates = Certificates::new();
        let app = TestApp::spawn_tls(&certificates, "").await;
        let server = Endpoint { way: way_of(certificates.client_of(&versions)), ..*app };
        let first = server.connect("alice").client().await;
        assert_eq!(first.wire.tls().handshake_kind(), Some(HandshakeKind::Full));
        let again = server.connect("alice").client().await;
        assert_eq!(again.wire.tls().handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn large_messages_come_whole_both_ways() {
    let settings = "limits.message_bytes = \"1 MiB\"\noutbound.reliable_bytes = \"8 MiB\"";
    let app = TestApp::spawn_tls(&Certificates::new(), settings).await;
    let mut listener = app.listener("listener", &["lobby"]).await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.connect("bob").receive_buffer(4096).query("room", "lobby").client().await;
    bob.expect("joined").await;
    for size in [16 * 1024, 32 * 1024 + 1, 65_536, 700_000] {
        let content: String = ('a'..='z').cycle().take(size).collect();
        alice.chat("lobby", &content).await;
        assert_eq!(bob.expect("chat").await["content"], content.as_str());
        assert_eq!(alice.expect("chat").await["content"], content.as_str());
        assert_eq!(listener.expect("chat").await.data["content"], content.as_str());
    }
}

#[tokio::test]
async fn frames_that_come_in_one_record_or_in_many_are_all_answered() {
    let app = TestApp::spawn_tls(&Certificates::new(), "").await;
    let mut alice = app.client("alice").await;
    let ping = frame(true, TEXT, br#"{"type":"ping","id":1}"#);
    alice.wire.send(&ping.repeat(20)).await;
    for _ in 0..20 {
        alice.expect("pong").await;
    }
    for byte in ping {
        alice.wire.send(&[byte]).await;
    }
    alice.expect("pong").await;
}

#[tokio::test]
async fn the_node_knows_that_its_clients_speak_https() {
    let app = TestApp::spawn_tls(&Certificates::new(), "").await;
    let guest = app.post("/auth/guest", &json!({"name": "Alice"})).await;
    let cookie = guest.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("Secure"), "{cookie}");
    // A page that came without TLS may have been changed on its way.
    let host = format!("127.0.0.1:{}", app.port);
    let from = |scheme: &str| app.connect("alice").header("origin", format!("{scheme}://{host}"));
    from("http").refused().await.assert_error(403, "origin_not_allowed");
    from("https").client().await;
}

#[tokio::test]
async fn addresses_with_and_without_tls_serve_side_by_side() {
    let certificates = Certificates::new();
    let listen = ("ROOKERY__SERVER__LISTEN", "127.0.0.1:0,http://127.0.0.1:0");
    let environment = certificates.environment();
    let environment = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let environment: Vec<_> = environment.chain([listen]).collect();
    let node = Process::spawn(&environment).await.by(certificates.way());
    let log = eventually("both addresses", async || {
        Some(node.log()).filter(|log| log.matches("listening on ").count() == 2)
    })
    .await;
    let (_, plain) = log.split_once("listening on http://127.0.0.1:").expect("a plain address");
    let plain = plain.lines().next().unwrap().parse().unwrap();
    assert!(log.contains(&format!("listening on https://127.0.0.1:{}\n", node.port)), "{log}");
    let plain = Endpoint { port: plain, way: Way::Plain };
    let mut alice = node.member("alice", "lobby").await;
    plain.member("bob", "lobby").await.chat("lobby", "hello").await;
    assert_eq!(alice.expect("chat").await["content"], "hello");
    assert_eq!(Connect::new(plain, "/healthz").refused().await.status, 200);
}
