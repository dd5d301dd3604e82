//! The scenarios: what is done to each target, and what is looked at.

mod closed_loop;
mod connecting;
mod echo;
mod mixed;
mod paced;
mod tally;

use std::time::Duration;

use crate::{
    arguments::{Arguments, Name},
    cores::Cores,
    latency::Latencies,
    process::{Cpu, CpuClock, Process},
    report::{self, Figures, Report},
    swarm::Swarm,
    target::Target,
};

/// What every scenario is given.
pub(crate) struct Setting<'a> {
    arguments: &'a Arguments,
    cores: &'a Cores,
}

const ALL: [Name; 8] = [
    Name::Fanout,
    Name::Rooms,
    Name::Echo,
    Name::Inflight,
    Name::Storm,
    Name::Mixed,
    Name::Idle,
    Name::Idle15k,
];

/// Runs what the arguments name, and prints a table for each.
pub(crate) fn run_all(arguments: &Arguments, cores: &Cores) -> anyhow::Result<Vec<Report>> {
    let setting = Setting { arguments, cores };
    let named = &arguments.scenarios;
    let mut reports = Vec::new();
    report::print_machine(cores, arguments);
    for name in ALL {
        if !named.is_empty() && !named.contains(&name) {
            continue;
        }
        match name {
            Name::Fanout => reports.push(paced::one_room(&setting)?),
            Name::Rooms => reports.push(paced::many_rooms(&setting)?),
            Name::Echo => reports.push(echo::run(&setting)?),
            Name::Inflight => {
                for in_flight in [1, 8, 64] {
                    reports.push(closed_loop::run(&setting, in_flight)?);
                }
            }
            Name::Storm => reports.push(connecting::storm(&setting)?),
            Name::Mixed => reports.push(mixed::run(&setting)?),
            Name::Idle => {
                reports.push(connecting::idle(&setting, 5_000, None)?);
                reports.push(connecting::idle(&setting, 5_000, Some(10))?);
            }
            Name::Idle15k => reports.push(connecting::idle_with_heartbeats(&setting, 15_000)?),
        }
    }
    Ok(reports)
}

impl Setting<'_> {
    fn seconds(&self, default: f64) -> Duration {
        Duration::from_secs_f64(self.arguments.seconds.unwrap_or(default))
    }

    /// Measures each target once, then each once more, and so on: what disturbs
    /// the machine disturbs all of them.
    fn interleave(
        &self,
        name: &str,
        title: String,
        targets: Vec<Target>,
        repeats: usize,
        measure: impl Fn(&Target) -> anyhow::Result<Figures>,
    ) -> anyhow::Result<Report> {
        let mut report = Report::new(name, title, &targets);
        for _ in 0..self.arguments.repeats.unwrap_or(repeats) {
            for (number, target) in targets.iter().enumerate() {
                report.add(number, measure(target)?);
            }
        }
        report.print(self.arguments.json);
        Ok(report)
    }

    /// Starts the target, and clients that have not connected yet.
    fn start(&self, target: &Target) -> anyhow::Result<(Process, Swarm)> {
        let process = target.start(self.arguments, self.cores)?;
        let swarm = Swarm::new(process.address, target.dialect())?;
        Ok((process, swarm))
    }

    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        Target::all(self.arguments)
    }
}

/// Takes the time and the CPU of server and generator over a part of a run.
struct Watch<'a> {
    process: &'a Process,
    began: u64,
    server: CpuClock,
    generator: CpuClock,
}

/// What a watch has seen.
struct Seen {
    seconds: f64,
    server: Cpu,
    /// The share of its core that the generator took.
    generator: f64,
    /// How much of the time one of both could have run, and something else did.
    disturbed: f64,
}

impl<'a> Watch<'a> {
    fn start(process: &'a Process, swarm: &Swarm) -> anyhow::Result<Self> {
        let server = process.cpu()?;
        Ok(Self { process, began: swarm.now(), server, generator: CpuClock::own()? })
    }

    fn stop(self, swarm: &Swarm) -> anyhow::Result<Seen> {
        let server = self.process.cpu()?.since(&self.server);
        let generator = CpuClock::own()?.since(&self.generator);
        let nanos = (swarm.now() - self.began) as f64;
        Ok(Seen {
            seconds: nanos / 1e9,
            server,
            generator: generator.total() / nanos,
            disturbed: (server.waited + generator.waited) / nanos,
        })
    }
}

impl Seen {
    /// The server's CPU for each of so many things, in microseconds.
    fn cpu_per(&self, what: &'static str, count: u64, figures: &mut Figures) {
        let count = count.max(1) as f64;
        figures.compared(what, self.server.total() / 1e3 / count);
        figures.compared("user", self.server.user / 1e3 / count);
        figures.compared("sys", self.server.system / 1e3 / count);
    }

    fn busy(&self, process: &Process, figures: &mut Figures) -> anyhow::Result<()> {
        figures.plain("RSS MiB", process.resident()? / 1024.0);
        figures.plain("server %", self.server.total() / 1e9 / self.seconds * 100.0);
        figures.plain("generator %", self.generator * 100.0);
        figures.plain("disturbed %", self.disturbed * 100.0);
        Ok(())
    }
}

fn percentiles(latencies: &mut Latencies, figures: &mut Figures) {
    figures.compared("p50 ms", latencies.percentile(0.5));
    figures.compared("p99 ms", latencies.percentile(0.99));
    figures.compared("p99.9 ms", latencies.percentile(0.999));
}
