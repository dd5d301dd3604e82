//! Which core runs what. The server has its own, so that the generator takes
//! nothing of its time; where a scenario needs more cores than there are, the
//! generator shares one.

use anyhow::{Context, ensure};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The cores of servers and generator.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    pub(crate) servers: Vec<usize>,
    pub(crate) generator: usize,
    /// All that may be used.
    allowed: Vec<usize>,
}

impl Cores {
    /// As asked for; else the first core for the servers, the last for the
    /// generator.
    pub(crate) fn choose(servers: &[usize], generator: Option<usize>) -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("which cores may be used")?;
        let allowed: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let (Some(first), Some(last)) = (allowed.first(), allowed.last()) else {
            anyhow::bail!("no core may be used");
        };
        let servers = if servers.is_empty() { vec![*first] } else { servers.to_vec() };
        let generator = generator.unwrap_or(*last);
        ensure!(
            !servers.contains(&generator),
            "the generator needs a core that no server runs on; there are {}",
            allowed.len()
        );
        Ok(Self { servers, generator, allowed })
    }

    /// With servers that leave those cores to somebody else, and share the
    /// generator's.
    pub(crate) fn beside_generator(&self) -> Self {
        Self { servers: vec![self.generator], ..self.clone() }
    }

    /// With so many cores for the servers, the generator's among them where there are no others.
    pub(crate) fn with_servers_on(&self, count: usize) -> Self {
        let mut cores = self.clone();
        let free = self.allowed.iter().filter(|core| **core != self.generator);
        for core in free.chain([&self.generator]) {
            if cores.servers.len() < count && !cores.servers.contains(core) {
                cores.servers.push(*core);
            }
        }
        cores
    }

    /// From here on this thread and what it starts run on the servers' cores.
    pub(crate) fn enter_servers(&self) -> anyhow::Result<()> {
        pin(&self.servers)
    }

    /// From here on this thread runs on the generator's core; where that is one of the
    /// servers', on any of those, so that none of their workers is disturbed more than another.
    pub(crate) fn enter_generator(&self) -> anyhow::Result<()> {
        if self.servers.contains(&self.generator) {
            pin(&self.servers)
        } else {
            pin(&[self.generator])
        }
    }
}

fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("running on the cores {cores:?}"))
}

/// Every connection is an open file.
pub(crate) fn raise_open_files() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("open files")
}
