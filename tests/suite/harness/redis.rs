//! A real Redis server, and what is built of several: see the parts.

mod cluster;
mod relay;
mod sentinels;

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use redis::{RedisResult, Value};

use super::{Certificates, Directory, Random, eventually, process::signal};

pub use cluster::RedisCluster;
pub use relay::Relay;
pub use sentinels::Sentinels;

/// How long a server may take for one command of a test.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// With these a server has written down what it answers.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A free port below the range out of which outgoing connections are given
/// theirs, so that a server which was killed finds it free when it comes back.
pub fn free_port() -> u16 {
    static RANDOM: LazyLock<Mutex<Random>> = LazyLock::new(|| {
        Mutex::new(Random::new(u64::from(std::process::id()) << 32 ^ super::now_ms()))
    });
    loop {
        let drawn = RANDOM.lock().expect("nobody panics holding it").within(10_000..32_000);
        let port = u16::try_from(drawn).expect("the range is one of ports");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The ports that one server listens on.
#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    tls: u16,
    bus: u16,
}

impl Ports {
    fn free() -> Self {
        Self { plain: free_port(), tls: free_port(), bus: free_port() }
    }
}

/// A `redis-server` with a directory of its own, killed when the test ends.
pub struct RedisServer {
    child: Child,
    ports: Ports,
    arguments: Vec<String>,
    directory: Directory,
}

impl RedisServer {
    /// A server that keeps its data in memory. `SAVE` is what writes it down
    /// for a restart.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server that has written down what it answers.
    pub async fn durable() -> Self {
        Self::with(&DURABLE).await
    }

    /// A server that copies this one.
    pub async fn replica_of(master: &Self) -> Self {
        Self::with(&["--replicaof", &format!("127.0.0.1 {}", master.port())]).await
    }

    /// A server that is spoken to in TLS too, at its [`tls_url`](Self::tls_url).
    pub async fn tls(certificates: &Certificates) -> Self {
        let arguments = certificates.arguments();
        Self::with(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// A server with these arguments besides.
    pub async fn with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        loop {
            let directory = Directory::new();
            let ports = Ports::free();
            let child = run(&directory, ports, &arguments);
            let mut server = Self { child, ports, arguments: arguments.clone(), directory };
            // Someone else may have taken a port in the meantime.
            if server.answers().await {
                return server;
            }
        }
    }

    /// Waits until it answers; false where it ended.
    async fn answers(&mut self) -> bool {
        eventually("redis-server to answer", async || {
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return Some(false);
            }
            // Not another server at that port.
            let own = format!("process_id:{}\r\n", self.child.id());
            let info = self.try_command(&["INFO", "server"]).ok()?;
            (text(&info).contains(&own) && self.try_command(&["PING"]).is_ok()).then_some(true)
        })
        .await
    }

    pub fn port(&self) -> u16 {
        self.ports.plain
    }

    /// As `broker.url` names it.
    pub fn url(&self) -> String {
        match self.argument("--requirepass") {
            Some(password) => self.url_of("", password),
            None => format!("redis://127.0.0.1:{}", self.port()),
        }
    }

    /// The same for a user of the server's access list.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port())
    }

    /// The same in TLS; the certificate is one for `localhost`.
    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}", self.ports.tls)
    }

    fn argument(&self, name: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|it| it == name)?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// Sends one command and gives the answer.
    pub fn try_command(&self, command: &[&str]) -> RedisResult<Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(COMMAND_TIMEOUT)?;
        connection.set_read_timeout(Some(COMMAND_TIMEOUT))?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection)
    }

    /// Sends one command and gives the answer as text: a list has a line for
    /// each of its values.
    pub fn command(&self, command: &[&str]) -> String {
        match self.try_command(command) {
            Ok(answer) => text(&answer),
            Err(error) => panic!("{command:?} was answered with {error}"),
        }
    }

    /// Ends it as a power failure does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it, and starts it at the same ports with the data it wrote down.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = run(&self.directory, self.ports, &self.arguments);
        assert!(self.answers().await, "redis-server does not start again");
    }

    /// Kills it, and starts it at the same ports with no data.
    pub async fn restart_empty(&mut self) {
        self.kill();
        self.directory.clear();
        self.restart().await;
    }

    /// Stops its process: connections stay and nothing is answered.
    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    /// Lets a stopped process go on.
    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(directory: &Directory, ports: Ports, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
    if arguments.iter().any(|it| it == "--sentinel") {
        command.arg(sentinels_file(directory, arguments)).arg("--sentinel");
    } else {
        // `save` with nothing: no snapshots but those a test asks for.
        command.args(["--save", "", "--repl-diskless-sync-delay", "0"]).args(arguments);
    }
    command.args(["--bind", "127.0.0.1", "--port", &ports.plain.to_string()]);
    if arguments.iter().any(|it| it == "--tls-cert-file") {
        command.args(["--tls-port", &ports.tls.to_string()]);
    }
    if arguments.iter().any(|it| it == "--cluster-enabled") {
        command.args(["--cluster-port", &ports.bus.to_string()]);
    }
    command.spawn().expect("redis-server runs")
}

/// A sentinel writes what it learns into its own file, which it begins with
/// what stands behind `--sentinel`.
fn sentinels_file(directory: &Directory, arguments: &[String]) -> PathBuf {
    let path = directory.path().join("sentinel.conf");
    if fs::exists(&path).expect("a path can be looked at") {
        return path;
    }
    directory.write("sentinel.conf", &arguments[1..].join("\n"))
}

fn text(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Okay => "OK".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::SimpleString(text) => text.clone(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    }
}
