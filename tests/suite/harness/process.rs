use std::{
    fs,
    io::{BufRead, BufReader},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{Endpoint, SECRET, Way, eventually, repairs::faulty_repairs};

/// A directory of its own for one test, removed at its end.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes all that is in it.
    pub fn clear(&self) {
        fs::remove_dir_all(&self.0).expect("a directory can be removed");
        fs::create_dir_all(&self.0).expect("a directory can be made");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary in `directory`, where no settings but `environment` reach it.
pub fn program(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
    command.args(arguments).current_dir(directory.path()).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROOKERY__")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command.envs(environment.iter().copied());
    command
}

/// Sends a signal to a process by the signal's name.
pub fn signal(process: u32, name: &str) {
    // The shell's own `kill`, as the program of that name may be missing.
    let kill = format!("kill -{name} {process}");
    let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell runs");
    assert!(status.success(), "{kill}: {status}");
}

/// Runs the binary to its end: for calls that serve nothing.
pub fn rookery(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    program(directory, arguments, environment).output().expect("the binary runs")
}

/// A server in a process of its own, killed when the test ends.
pub struct Process {
    child: Child,
    endpoint: Endpoint,
    log: Arc<Mutex<String>>,
    redis: bool,
    may_repair: bool,
    _directory: Directory,
}

impl Process {
    /// Starts the binary on port 0 with these variables and waits for the line
    /// that tells its port.
    pub async fn spawn(environment: &[(&str, &str)]) -> Self {
        let secret = [("ROOKERY__AUTH__SECRET", SECRET)];
        Self::spawn_without_secret(&[environment, &secret].concat()).await
    }

    /// The same, but with a secret of the server's own.
    pub async fn spawn_without_secret(environment: &[(&str, &str)]) -> Self {
        let directory = Directory::new();
        let command = program(&directory, &[], environment);
        Self::run(directory, command, environment).await
    }

    /// As [`spawn`](Self::spawn), by a shell that does something `first`.
    pub async fn spawn_after(first: &str, environment: &[(&str, &str)]) -> Self {
        let secret = [("ROOKERY__AUTH__SECRET", SECRET)];
        let (directory, environment) = (Directory::new(), [environment, &secret].concat());
        let program = program(&directory, &[], &environment);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first} && exec \"$0\"")]).arg(program.get_program());
        command.current_dir(directory.path()).stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::run(directory, command, &environment).await
    }

    async fn run(directory: Directory, mut command: Command, environment: &[(&str, &str)]) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        // A machine that tests keep busy is no reason to refuse them.
        let own = [
            ("ROOKERY__SERVER__LISTEN", "127.0.0.1:0"),
            ("ROOKERY__SHEDDING__WORKER_DELAY", "0s"),
            // Two, so that members of one room stand on different workers.
            ("ROOKERY__SERVER__WORKERS", "2"),
        ];
        for (name, value) in own {
            if !environment.iter().any(|(given, _)| *given == name) {
                command.env(name, value);
            }
        }
        let mut child = command.spawn().expect("the binary runs");

        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        // Reads on until the process ends, so that a full pipe never stops it.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = written.lock().expect("no reader of the log panicked");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let endpoint = Endpoint { port: 0, way: Way::Plain };
        let url = environment.iter().rev().find(|(name, _)| *name == "ROOKERY__BROKER__URL");
        let redis = url.is_some_and(|(_, url)| !url.is_empty());
        let mut process =
            Self { child, endpoint, log, redis, may_repair: false, _directory: directory };
        process.endpoint.port = eventually("the line that tells the port", async || {
            let log = process.log();
            let (_, place) = log.split_once("listening on ")?;
            // The line is there whole, the end of an object in JSON perhaps; a Unix
            // socket has no port.
            let place = place.split_once('\n')?.0.trim_end_matches("\"}");
            let port = place.rsplit(':').next()?;
            if place.starts_with("http") { port.parse().ok() } else { Some(0) }
        })
        .await;
        process
    }

    /// The number by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same server, spoken to in another way.
    pub fn by(mut self, way: Way) -> Self {
        self.endpoint.way = way;
        self
    }

    /// The test makes the server lose what only a comparison with the logs finds, so
    /// its end does not assert that none had to be.
    #[allow(dead_code, reason = "for tests that break the delivery on purpose")]
    pub fn may_repair(mut self) -> Self {
        self.may_repair = true;
        self
    }

    /// What the process has written to stderr.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader of the log panicked").clone()
    }

    /// Sends a signal by its name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until the process has ended.
    pub async fn exited(&mut self) -> ExitStatus {
        eventually("the process to end", async || {
            self.child.try_wait().expect("a child can be waited for")
        })
        .await
    }

    /// The memory that the process holds, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// How many open files the kernel has room for without a larger table.
    pub fn room_for_files(&self) -> u64 {
        self.status("FDSize:")
    }

    /// A number in what the kernel tells of the process.
    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
        let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
        number.expect("a number")
    }
}

impl Deref for Process {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the server ---\n{}", self.log());
        }
        let runs = matches!(self.child.try_wait(), Ok(None));
        let asked = runs && !std::thread::panicking() && !self.may_repair;
        let repairs = if asked { faulty_repairs(self, self.redis) } else { Vec::new() };
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !repairs.is_empty() {
            eprintln!("--- stderr of the server ---\n{}", self.log());
            panic!("not delivered, until it was compared: {repairs:?}");
        }
    }
}
