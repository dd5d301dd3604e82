//! A Redis of its own, and as much of a client as it takes to see what Redis
//! costs without a server around it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{cores::Cores, process::Process};

/// It has to answer within.
const PATIENCE: Duration = Duration::from_secs(10);

/// Someone else may take the port that was free.
const TRIES: usize = 5;

/// A `redis-server` that writes nothing to disk and ends with this value.
pub(crate) struct Redis {
    pub(crate) process: Process,
}

impl Redis {
    /// Whether there is one to be started.
    pub(crate) fn is_installed() -> bool {
        runs("redis-server")
    }

    /// Whether `redis-benchmark` is there too.
    pub(crate) fn has_benchmark() -> bool {
        runs("redis-benchmark")
    }

    /// Starts it on the servers' cores and waits until it answers.
    pub(crate) fn start(cores: &Cores) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
            command.args(["--save", "", "--appendonly", "no"]);
            let mut redis = Self { process: Process::start_at(&mut command, address, cores)? };
            if redis.answers()? {
                return Ok(redis);
            }
        }
        bail!("redis-server does not start")
    }

    /// Waits until it answers; false where it ended.
    fn answers(&mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        // Not another server at that port.
        let own = format!("process_id:{}\r\n", self.process.id());
        while !self.process.has_ended()? {
            let info = self.client().and_then(|mut client| client.command(&["INFO", "server"]));
            if info.is_ok_and(|info| info.contains(&own)) {
                return Ok(true);
            }
            ensure!(Instant::now() < deadline, "redis-server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }

    /// As `broker.url` names it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.process.address)
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.process.address)
    }

    /// How often each command was run so far, by a client or by a script.
    pub(crate) fn calls(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let info = self.client()?.command(&["INFO", "commandstats"])?;
        let calls = info.lines().filter_map(|line| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        });
        Ok(calls.collect())
    }

    /// How often it has read from connections so far.
    pub(crate) fn reads(&self) -> anyhow::Result<u64> {
        let info = self.client()?.command(&["INFO", "stats"])?;
        let reads = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        Ok(reads.context("total_reads_processed")?.parse()?)
    }
}

/// Whether a program is installed.
fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    let output = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    output.status().is_ok_and(|status| status.success())
}

/// A connection that waits for each answer.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command, in one write, and gives the answer.
    pub(crate) fn command(&mut self, words: &[&str]) -> anyhow::Result<String> {
        self.send(words)?;
        self.answer()
    }

    pub(crate) fn send(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        Ok(self.0.get_mut().write_all(bytes.as_bytes())?)
    }

    /// The next answer, or what is pushed; the values of a list stand each in a
    /// line.
    pub(crate) fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("Redis closed the connection")?;
        match kind {
            "+" | ":" => Ok(rest.to_owned()),
            "$" if rest == "-1" => Ok(String::new()),
            "$" => {
                let mut value = vec![0; rest.parse::<usize>()? + 2];
                self.0.read_exact(&mut value)?;
                value.truncate(value.len() - 2);
                Ok(String::from_utf8(value)?)
            }
            "*" => {
                let values = (0..rest.parse::<usize>()?).map(|_| self.answer());
                Ok(values.collect::<Result<Vec<_>, _>>()?.join("\n"))
            }
            _ => bail!("Redis answers {line:?}"),
        }
    }
}
