//! Listening at a Unix socket.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::harness::{
    Connect, Directory, Endpoint, Process, Proxy, Way, eventually, program_of_servers, rookery,
};

const LISTEN: &str = "ROOKERY__SERVER__LISTEN";

/// A path that is short enough for a socket, and how tests speak to it.
fn place(directory: &Directory) -> (PathBuf, Endpoint) {
    let path = directory.path().join("rookery.sock");
    let way = Way::Unix(Box::leak(path.clone().into_boxed_path()));
    (path, Endpoint { port: 0, way })
}

fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the socket is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_unix_socket_serves_all_that_an_address_does() {
    let directory = Directory::new();
    let (path, unix) = place(&directory);
    let both = format!("127.0.0.1:0,{}", address(&path));
    let mut node = Process::spawn(&[(LISTEN, &both)]).await;
    eventually("both places", async || {
        node.log().contains(&format!("listening on {}\n", address(&path))).then_some(())
    })
    .await;
    assert_eq!(mode(&path), 0o660);
    let mut listener = unix.listener("carol", &["lobby"]).await;
    let mut alice = unix.member("alice", "lobby").await;
    let mut bob = node.member("bob", "lobby").await;
    alice.chat("lobby", &"x".repeat(60_000)).await;
    bob.expect("chat").await;
    listener.expect("chat").await;
    assert_eq!(unix.post("/auth/guest", &json!({"name": "Dave"})).await.status, 200);

    let probed = rookery(&directory, &["probe"], &[(LISTEN, &address(&path))]);
    assert!(probed.status.success(), "{probed:?}");
    node.signal("TERM");
    alice.closed().await.assert(1001, "shutting_down");
    drop((alice, bob, listener));
    assert!(node.exited().await.success());
    assert!(!path.exists(), "the socket is removed at the end");
    let probed = rookery(&directory, &["probe"], &[(LISTEN, &address(&path))]);
    assert_eq!(probed.status.code(), Some(1), "{probed:?}");
    assert!(String::from_utf8_lossy(&probed.stderr).contains(&address(&path)), "{probed:?}");
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_taken_and_that_of_a_living_one_is_not() {
    let directory = Directory::new();
    let (path, unix) = place(&directory);
    let listen = address(&path);
    let mut first =
        Process::spawn(&[(LISTEN, &listen), ("ROOKERY__SERVER__UNIX_MODE", "0600")]).await;
    assert_eq!(mode(&path), 0o600);
    let second = rookery(&directory, &[], &[(LISTEN, &listen)]);
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains(&listen) && error.contains("another process listens"), "{error}");
    unix.client("alice").await;

    first.signal("KILL");
    first.exited().await;
    assert!(path.exists(), "nobody could remove it");
    let third = Process::spawn(&[(LISTEN, &listen)]).await;
    unix.client("alice").await;
    // Somebody made room for another: that one's is not ours to remove.
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    let mut third = third;
    third.signal("TERM");
    assert!(third.exited().await.success());
    assert!(path.exists());
}

#[test]
fn a_file_in_its_place_is_left_alone() {
    let directory = Directory::new();
    let file = directory.write("notes.txt", "keep me");
    let output = rookery(&directory, &[], &[(LISTEN, &address(&file))]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("which is no socket"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "keep me");
}

#[tokio::test]
async fn peers_of_a_unix_socket_are_this_machine_for_limits_and_for_trusted_proxies() {
    let directory = Directory::new();
    let (path, unix) = place(&directory);
    let listen = address(&path);
    let one = [(LISTEN, listen.as_str()), ("ROOKERY__LIMITS__CONNECTIONS_PER_IP", "1")];
    let from = |host: &str| {
        let connect = Connect::new(unix, "/ws").bearer(&unix.token(host));
        connect.header("x-forwarded-for", host)
    };
    let alone = Process::spawn(&one).await;
    let _first = from("192.0.2.1").client().await;
    from("192.0.2.2").refused().await.assert_error(429, "rate_limited");
    drop(alone);
    eventually("the socket of the former node to be taken", async || {
        std::os::unix::net::UnixStream::connect(&path).is_err().then_some(())
    })
    .await;
    let trusted = [&one[..], &[("ROOKERY__SERVER__TRUSTED_PROXIES", "127.0.0.1")]].concat();
    let _node = Process::spawn(&trusted).await;
    let _first = from("192.0.2.1").client().await;
    let _second = from("192.0.2.2").client().await;
    from("192.0.2.2").refused().await.assert_error(429, "rate_limited");
}

#[tokio::test]
async fn nginx_reaches_a_node_by_its_unix_socket() {
    let directory = Directory::new();
    let (path, _) = place(&directory);
    let trusted = ("ROOKERY__SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let node = Process::spawn(&[(LISTEN, &address(&path)), trusted]).await;
    let upstream = address(&path);
    let nginx = Proxy::start(|directory, port| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let configuration = format!(
            "pid nginx.pid; error_log error.log;\nevents {{ worker_connections 64; }}\nhttp {{\n\
             {temporary}access_log off;\nserver {{ listen 127.0.0.1:{port};\nlocation / {{\n\
             proxy_pass http://{upstream}:; proxy_http_version 1.1;\n\
             proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection \"upgrade\";\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n}} }} }}\n"
        );
        directory.write("nginx.conf", &configuration);
        let mut command = program_of_servers("nginx");
        command.args(["-e", "stderr", "-c", "nginx.conf", "-g", "daemon off; master_process off;"]);
        command.arg("-p").arg(directory.path());
        command
    })
    .await;
    let mut alice = nginx.member("alice", "lobby").await;
    nginx.member("bob", "lobby").await.chat("lobby", "hello").await;
    assert_eq!(alice.expect("chat").await["content"], "hello");
    drop(node);
}
