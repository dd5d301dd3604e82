//! Real nginx and HAProxy in front of nodes.

use std::{
    env,
    fs::{self, File},
    net::TcpStream,
    ops::Deref,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{Directory, Endpoint, Way, eventually};

/// What a proxy wrote on standard error, in its directory.
const STDERR: &str = "stderr.log";

/// A proxy with a directory of its own, killed when the test ends.
pub struct Proxy {
    child: Child,
    endpoint: Endpoint,
    directory: Directory,
}

impl Proxy {
    /// Runs what `prepare` makes ready in a directory, to listen at the port it is
    /// told, and waits until it does.
    pub async fn start(prepare: impl Fn(&Directory, u16) -> Command) -> Self {
        loop {
            let directory = Directory::new();
            let port = super::free_port();
            let stderr = File::create(directory.path().join(STDERR)).expect("a file can be made");
            let mut command = prepare(&directory, port);
            command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.stderr(stderr).spawn().expect("the proxy runs");
            let mut proxy = Self { child, endpoint: Endpoint { port, way: Way::Plain }, directory };
            if proxy.listens().await {
                return proxy;
            }
            // Someone else may have taken the port in the meantime; nothing else is
            // a reason to try again.
            let log = proxy.log();
            assert!(log.contains("ddress already in use") || log.contains("cannot bind"), "{log}");
        }
    }

    /// Waits until it listens; false where it ended.
    async fn listens(&mut self) -> bool {
        let port = self.port;
        eventually("the proxy to listen", async || {
            let reached = TcpStream::connect(("127.0.0.1", port)).is_ok();
            let ended = self.child.try_wait().expect("a child can be waited for").is_some();
            if ended { Some(false) } else { reached.then_some(true) }
        })
        .await
    }

    /// All that it wrote into files named `*.log`.
    pub fn log(&self) -> String {
        let entries = fs::read_dir(self.directory.path()).expect("a directory can be read");
        let logs = entries
            .map(|entry| entry.expect("a directory can be read").path())
            .filter(|path| path.extension().is_some_and(|it| it == "log"));
        let read = |path: &Path| fs::read_to_string(path).expect("a log can be read");
        logs.map(|path| read(&path)).collect()
    }
}

impl Deref for Proxy {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- logs of the proxy ---\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program for servers, which are in folders that not everybody's PATH has.
pub fn program_of_servers(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
