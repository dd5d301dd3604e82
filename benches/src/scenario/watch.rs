//! What is looked at while traffic runs: time, CPU, memory.

use std::time::Duration;

use crate::{
    latency::Latencies,
    process::{Cpu, CpuClock, Process},
    report::Figures,
    swarm::{Swarm, Traffic},
};

/// Traffic that ends by itself some time after it was begun.
pub(super) trait Timed: Traffic {
    /// Sends for so long, and forgets the latencies so far.
    fn begin(&mut self, swarm: &Swarm, time: Duration);
}

/// Runs the traffic for so long.
pub(super) fn run_for(
    swarm: &mut Swarm,
    traffic: &mut impl Timed,
    time: Duration,
) -> anyhow::Result<()> {
    traffic.begin(swarm, time);
    swarm.run(traffic)
}

/// The same, watched.
pub(super) fn watch_for(
    processes: &[Process],
    swarm: &mut Swarm,
    traffic: &mut impl Timed,
    time: Duration,
) -> anyhow::Result<Seen> {
    let watch = Watch::start(processes, swarm)?;
    run_for(swarm, traffic, time)?;
    watch.stop(swarm)
}

/// Takes the time and the CPU of servers and generator over a part of a run.
pub(super) struct Watch<'a> {
    processes: &'a [Process],
    began: u64,
    servers: Vec<CpuClock>,
    generator: CpuClock,
}

/// What a watch has seen.
pub(super) struct Seen {
    pub(super) seconds: f64,
    /// Of all servers together.
    pub(super) server: Cpu,
    /// The share of its core that the generator took.
    generator: f64,
    /// How much of the time one of both could have run, and something else did.
    disturbed: f64,
}

impl<'a> Watch<'a> {
    pub(super) fn start(processes: &'a [Process], swarm: &Swarm) -> anyhow::Result<Self> {
        let servers = processes.iter().map(Process::cpu).collect::<Result<_, _>>()?;
        Ok(Self { processes, began: swarm.now(), servers, generator: CpuClock::own()? })
    }

    pub(super) fn stop(self, swarm: &Swarm) -> anyhow::Result<Seen> {
        let mut server = Cpu::default();
        for (process, before) in self.processes.iter().zip(&self.servers) {
            server += process.cpu()?.since(before);
        }
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
    /// The figures of a closed loop, whose latencies are one for each thing, or for so many of them.
    pub(super) fn closed_loop(
        &self,
        things: Things,
        latencies: &mut Latencies,
        processes: &[Process],
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let count = (latencies.len() as f64 * things.each) as u64;
        figures.compared(things.per_second, count as f64 / self.seconds);
        self.cpu_per(things.cpu, count, figures);
        percentiles(latencies, figures);
        self.busy(processes, figures)
    }

    /// The servers' CPU for each of so many things, in microseconds.
    pub(super) fn cpu_per(&self, what: &'static str, count: u64, figures: &mut Figures) {
        let count = count.max(1) as f64;
        figures.compared(what, self.server.total() / 1e3 / count);
        figures.compared("user", self.server.user / 1e3 / count);
        figures.compared("sys", self.server.system / 1e3 / count);
    }

    pub(super) fn busy(&self, processes: &[Process], figures: &mut Figures) -> anyhow::Result<()> {
        let mut resident = 0.0;
        for process in processes {
            resident += process.resident()?;
        }
        figures.plain("RSS MiB", resident / 1024.0);
        figures.plain("server %", self.server.total() / 1e9 / self.seconds * 100.0);
        figures.plain("generator %", self.generator * 100.0);
        figures.plain("disturbed %", self.disturbed * 100.0);
        Ok(())
    }
}

/// What a closed loop counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Things {
    per_second: &'static str,
    cpu: &'static str,
    each: f64,
}

pub(super) const DELIVERIES: Things =
    Things { per_second: "deliveries/s", cpu: "CPU µs/delivery", each: 1.0 };
pub(super) const MESSAGES: Things =
    Things { per_second: "messages/s", cpu: "CPU µs/message", each: 1.0 };

impl Things {
    /// The same where each that is seen stands for so many.
    pub(super) fn times(self, each: f64) -> Self {
        Self { each, ..self }
    }
}

pub(super) fn percentiles(latencies: &mut Latencies, figures: &mut Figures) {
    figures.compared("p50 ms", latencies.percentile(0.5));
    figures.compared("p99 ms", latencies.percentile(0.99));
    figures.compared("p99.9 ms", latencies.percentile(0.999));
}
