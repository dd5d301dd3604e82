//! The scenarios: what is done to each target, and what is looked at.

mod closed_loop;
mod connecting;
mod dashboard;
mod echo;
mod mixed;
mod nodes;
mod paced;
mod tally;
mod watch;

use std::time::Duration;

use crate::{
    arguments::{Arguments, Name},
    cores::Cores,
    process::Process,
    redis::Redis,
    report::{self, Figures, Report},
    swarm::Swarm,
    target::Target,
};

/// What every scenario is given.
pub(crate) struct Setting<'a> {
    arguments: &'a Arguments,
    cores: &'a Cores,
}

const ALL: [Name; 12] = [
    Name::Fanout,
    Name::Rooms,
    Name::Echo,
    Name::Inflight,
    Name::Workers,
    Name::Nodes,
    Name::Publish,
    Name::Storm,
    Name::Mixed,
    Name::Dashboard,
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
            Name::Workers => {
                for in_flight in [1, 64] {
                    reports.push(closed_loop::workers(&setting, in_flight)?);
                }
            }
            Name::Nodes | Name::Publish if named.is_empty() && !Redis::is_installed() => {
                let left_out = format!("\n{name:?}: left out, as there is no redis-server");
                report::say(arguments.json, &left_out);
            }
            Name::Nodes => reports.extend(nodes::run(&setting)?),
            Name::Publish => reports.push(nodes::publish::run(&setting)?),
            Name::Storm => reports.push(connecting::storm(&setting)?),
            Name::Mixed => reports.push(mixed::run(&setting)?),
            Name::Dashboard => reports.push(dashboard::run(&setting)?),
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

    fn repeats(&self, default: usize) -> usize {
        self.arguments.repeats.unwrap_or(default)
    }

    /// The targets beside the floor, where it is among them.
    fn interleave(
        &self,
        name: &str,
        title: String,
        targets: Vec<Target>,
        repeats: usize,
        measure: impl Fn(&Target) -> anyhow::Result<Figures>,
    ) -> anyhow::Result<Report> {
        let floor = targets.iter().find(|target| target.is_floor());
        let report = Report::new(name, title, floor.map(|target| target.name.clone()));
        self.fill(report, &targets, repeats, measure)
    }

    /// Measures each target once, then each once more, and so on: what disturbs
    /// the machine disturbs all of them.
    fn fill(
        &self,
        mut report: Report,
        targets: &[Target],
        repeats: usize,
        measure: impl Fn(&Target) -> anyhow::Result<Figures>,
    ) -> anyhow::Result<Report> {
        for _ in 0..self.repeats(repeats) {
            for target in targets {
                report.add(&target.name, measure(target)?);
            }
        }
        report.print(self.arguments.json);
        Ok(report)
    }

    /// Starts the target, and clients that have not connected yet.
    fn start(&self, target: &Target) -> anyhow::Result<(Process, Swarm)> {
        let process = target.start(self.arguments, self.cores, None)?;
        let swarm = Swarm::new(process.address, target.dialect())?;
        Ok((process, swarm))
    }

    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        Target::all(self.arguments)
    }
}
