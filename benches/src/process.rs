//! A process that is measured: what it takes of CPU and memory.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::AddAssign,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};

use anyhow::{Context, bail};

use crate::cores::Cores;

/// A server that was started and ends with this value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts the program on the servers' cores and waits until it says on
    /// standard error where it listens.
    pub(crate) fn start(command: &mut Command, cores: &Cores) -> anyhow::Result<Self> {
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        // Ends the process also where it does not say where it listens.
        let mut process = Self::start_at(command.stderr(Stdio::piped()), unknown, cores)?;
        let stderr = process.child.stderr.take().context("standard error")?;
        process.address = listening(stderr)?;
        Ok(process)
    }

    /// Starts the program on the servers' cores; it was told where to listen.
    pub(crate) fn start_at(
        command: &mut Command,
        address: SocketAddr,
        cores: &Cores,
    ) -> anyhow::Result<Self> {
        cores.enter_servers()?;
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        cores.enter_generator()?;
        let child = started.with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, address })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What all of its threads took of CPU so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<CpuClock> {
        CpuClock::read(&self.id().to_string())
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
        Ok(figure.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads standard error up to the line that tells the address; what follows is
/// passed on.
fn listening(stderr: ChildStderr) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    while let Some(line) = lines.next().transpose()? {
        if let Some((_, address)) = line.split_once("listening on http://") {
            let address = address.trim().parse().context("the address it listens on")?;
            thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    eprintln!("  server: {line}");
                }
            });
            return Ok(address);
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("the server ended before it listened:\n{said}")
}

/// The CPU time of a process, as the kernel counts it.
#[derive(Debug, Clone)]
pub(crate) struct CpuClock {
    /// Of each thread, in nanoseconds: how long it ran, and how long it could
    /// have run but its core was taken.
    threads: HashMap<String, (u64, u64)>,
    /// Of the whole process, in the kernel's coarse ticks.
    user: u64,
    system: u64,
}

/// CPU time that was taken, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Not taken, but waited for.
    pub(crate) waited: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl AddAssign for Cpu {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.system += other.system;
        self.waited += other.waited;
    }
}

impl CpuClock {
    /// Of this process itself.
    pub(crate) fn own() -> anyhow::Result<Self> {
        Self::read("self")
    }

    fn read(process: &str) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            // A thread may end while this is read.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let mut fields = text.split_whitespace();
            let mut nanos = || fields.next().context("schedstat")?.parse().context("schedstat");
            let times = (nanos()?, nanos()?);
            threads.insert(entry.file_name().to_string_lossy().into_owned(), times);
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name of the program is in parentheses and may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut ticks = || fields.next().context("stat")?.parse().context("stat");
        Ok(Self { threads, user: ticks()?, system: ticks()? })
    }

    /// What was taken since `earlier`. The total is exact; how it divides into
    /// user and system time is sampled by the kernel.
    pub(crate) fn since(&self, earlier: &Self) -> Cpu {
        let (mut total, mut waited) = (0.0, 0.0);
        for (thread, (ran, could)) in &self.threads {
            let (ran_before, could_before) = earlier.threads.get(thread).copied().unwrap_or((0, 0));
            total += ran.saturating_sub(ran_before) as f64;
            waited += could.saturating_sub(could_before) as f64;
        }
        let user = self.user.saturating_sub(earlier.user) as f64;
        let system = self.system.saturating_sub(earlier.system) as f64;
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Cpu { user: total * share, system: total * (1.0 - share), waited }
    }
}
