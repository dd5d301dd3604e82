//! What a healthy server says of itself at the end of a test: it never had to find
//! by comparison what its members were not told.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{Endpoint, Way};

/// A server that is stopped or overloaded is not waited for: most tests end with
/// one that answers at once.
const TIMEOUT: Duration = Duration::from_secs(1);

const METRIC: &str = "rookery_delivery_repairs_total";
/// Causes that no fault explains: they are faults of the server itself.
const FAULTS: [&str; 2] = ["comparison", "lost_wakeup"];
/// With Redis, a comparison may be the first to see what a lost connection left out.
const FAULTS_WITH_REDIS: [&str; 1] = ["lost_wakeup"];

/// The repairs that should not have been; none where the server does not answer.
pub fn faulty_repairs(server: &Endpoint, redis: bool) -> Vec<String> {
    let causes: &[&str] = if redis { &FAULTS_WITH_REDIS } else { &FAULTS };
    let Ok(shown) = metrics(server) else { return Vec::new() };
    let samples = shown.lines().filter(|line| line.starts_with(METRIC));
    let faulty = samples.filter(|line| {
        let (labels, value) = line.rsplit_once(' ').unwrap_or_default();
        let is_fault = |cause: &&str| labels.contains(&format!("cause=\"{cause}\""));
        value != "0" && causes.iter().any(is_fault)
    });
    faulty.map(str::to_owned).collect()
}

/// `GET /metrics`. It blocks, because it is asked for where something is dropped.
fn metrics(server: &Endpoint) -> io::Result<String> {
    let tcp = || {
        let address = ([127, 0, 0, 1], server.port).into();
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        io::Result::Ok(stream)
    };
    match server.way {
        Way::Plain => ask(tcp()?),
        Way::Tls(config) => {
            let name = "localhost".try_into().expect("a name");
            let session = rustls::ClientConnection::new(config.clone(), name);
            ask(rustls::StreamOwned::new(session.map_err(io::Error::other)?, tcp()?))
        }
        Way::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            ask(stream)
        }
    }
}

fn ask(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let is_metrics = answer.starts_with("HTTP/1.1 200 ");
    if is_metrics { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[test]
fn a_repair_that_no_fault_explains_is_found() {
    let answer = |samples: &str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let text = format!("HTTP/1.1 200 OK\r\n\r\n# TYPE {METRIC} counter\n{samples}\n# EOF\n");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(text.as_bytes());
        });
        Endpoint { port, way: Way::Plain }
    };
    let sample = |cause: &str, count: u32| format!("{METRIC}{{cause=\"{cause}\"}} {count}");
    for fine in [String::new(), sample("comparison", 0), sample("gap", 3)] {
        assert_eq!(faulty_repairs(&answer(&fine), false), [""; 0], "{fine}");
    }
    let found = faulty_repairs(&answer(&sample("comparison", 2)), false);
    assert_eq!(found, [sample("comparison", 2)]);
    assert_eq!(faulty_repairs(&answer(&sample("comparison", 2)), true), [""; 0]);
    let found = faulty_repairs(&answer(&sample("lost_wakeup", 1)), true);
    assert_eq!(found, [sample("lost_wakeup", 1)]);
}
