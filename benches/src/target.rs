//! What is measured: servers, and the bare loop in two kinds.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{
    arguments::Arguments, chat::Dialect, cores::Cores, process::Process, redis::Redis, token,
};

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in the tables.
    pub(crate) name: String,
    kind: Kind,
    /// Settings of its own, which hold over those of the arguments.
    settings: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Floor { batched: bool },
    Server(PathBuf),
}

impl Target {
    /// The bare loop, and the servers that the arguments name.
    pub(crate) fn all(arguments: &Arguments) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        if !arguments.no_floor {
            all.push(Self::floor());
        }
        all.extend(Self::servers(arguments)?);
        Ok(all)
    }

    /// The servers that the arguments name.
    pub(crate) fn servers(arguments: &Arguments) -> anyhow::Result<Vec<Self>> {
        let several = arguments.servers.len() > 1;
        arguments.servers.iter().map(|path| Self::server(path, several)).collect()
    }

    fn floor() -> Self {
        Self::new("floor", Kind::Floor { batched: false })
    }

    /// The bare loop with one write for all frames that arrived together.
    pub(crate) fn batched_floor() -> Self {
        Self::new("floor, batched", Kind::Floor { batched: true })
    }

    fn server(path: &Path, several: bool) -> anyhow::Result<Self> {
        ensure!(path.exists(), "there is no {}; `cargo build --release` makes it", path.display());
        let path = path.canonicalize()?;
        let name = if several { path.display().to_string() } else { "rookery".to_owned() };
        Ok(Self::new(&name, Kind::Server(path)))
    }

    fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, settings: Vec::new() }
    }

    /// The same with a setting of its own, which `what` is to name.
    pub(crate) fn with(&self, what: &str, key: &'static str, value: String) -> Self {
        let mut changed = self.clone();
        changed.name = format!("{}, {what}", self.name);
        changed.settings.push((key, value));
        changed
    }

    /// What it has of its own for this key.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// Whether this is what the others are compared with.
    pub(crate) fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor { batched: false })
    }

    /// How to speak to it.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Floor { .. } => Dialect::Floor,
            Kind::Server(_) => Dialect::Server,
        }
    }

    /// Starts it afresh; `redis` is where a server finds its neighbours.
    pub(crate) fn start(
        &self,
        arguments: &Arguments,
        cores: &Cores,
        redis: Option<&Redis>,
    ) -> anyhow::Result<Process> {
        let mut command = match &self.kind {
            Kind::Floor { batched } => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("floor");
                if *batched {
                    command.arg("--batched");
                }
                command
            }
            Kind::Server(path) => Self::server_command(path, arguments)?,
        };
        if let Some(redis) = redis {
            command.env("ROOKERY__BROKER__URL", redis.url());
        }
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        Process::start(&mut command, cores)
    }

    /// With limits that a benchmark does not reach, and otherwise as it comes.
    fn server_command(path: &Path, arguments: &Arguments) -> anyhow::Result<Command> {
        let mut command = Command::new(path);
        command.args(["--config", "/dev/null"]);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("ROOKERY__") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        const MANY: &str = "1000000";
        command
            .env("ROOKERY__SERVER__LISTEN", "127.0.0.1:0")
            .env("ROOKERY__SERVER__WORKERS", arguments.workers.to_string())
            .env("ROOKERY__SERVER__ECHO", "true")
            .env("ROOKERY__AUTH__SECRET", token::SECRET)
            // A machine that is busy is measured, not spared.
            .env("ROOKERY__SHEDDING__WORKER_DELAY", "0s")
            .env("ROOKERY__LIMITS__MESSAGES_PER_SECOND", MANY)
            .env("ROOKERY__LIMITS__CONNECTIONS_PER_USER", MANY)
            .env("ROOKERY__LIMITS__CONNECTIONS_PER_IP", MANY)
            .env("ROOKERY__LIMITS__CONNECTS_PER_SECOND", MANY)
            .env("ROOKERY__LOG__LEVEL", "warn");
        for setting in &arguments.settings {
            let (key, value) = setting.split_once('=').context("--set KEY=VALUE")?;
            command.env(key, value);
        }
        Ok(command)
    }
}
