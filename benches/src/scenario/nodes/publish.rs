//! *publish*: how many messages two nodes publish, beside `redis-benchmark` that sends Redis
//! the same command.
//!
//! Redis has a core for itself in both. What it is sent comes from the other one:
//! from `redis-benchmark`, or from both nodes and their clients.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

use super::{
    super::{
        Setting,
        closed_loop::{self, ClosedLoop},
        watch::{percentiles, run_for, watch_for},
    },
    Layout,
};
use crate::{
    process::CpuClock,
    redis::Redis,
    report::{self, Figures, Report},
    stamp::Finder,
    target::Target,
};

/// What the others are compared with: it sends as many commands at once as Redis
/// got from the nodes with one read, where most were under way.
const ALIKE: &str = "redis-benchmark, pipelined alike";

/// It sends all at once that nodes can have under way.
const DEEP: &str = "redis-benchmark, pipelined deeply";

/// In each room somebody speaks, and somebody on the other node listens; in every
/// other room they are the other way round.
const ROOMS: usize = 64;
const MEMBERS: usize = 2;
const NODES: usize = 2;

/// Messages under way in each room.
const IN_FLIGHT: [usize; 2] = [1, MOST];
const MOST: usize = 4;

/// A node has one connection for commands. One sender's messages go to Redis one
/// by one, so that no more are under way to Redis than there are rooms.
const DEPTH: usize = ROOMS / NODES;

pub(in super::super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let json = setting.arguments.json;
    let targets = Target::servers(setting.arguments)?;
    let has_benchmark = Redis::has_benchmark();
    if !has_benchmark {
        report::say(json, "\npublish: there is no redis-benchmark to compare with");
    }
    let title = format!(
        "publish: over Redis, which has a core of its own; {NODES} nodes, rooms × messages in \
         flight in each"
    );
    let mut report = Report::new("publish", title, Some(ALIKE.to_owned()));
    for _ in 0..setting.repeats(5) {
        for (number, target) in targets.iter().enumerate() {
            for in_flight in IN_FLIGHT {
                let redis = Redis::start(setting.cores)?;
                let published = nodes(setting, target, in_flight, &redis, &mut report)?;
                // Once a round, with the command of the first target.
                if has_benchmark && number == 0 && in_flight == MOST {
                    alone(&redis, &published, (ALIKE, published.depth), &mut report)?;
                    alone(&redis, &published, (DEEP, DEPTH), &mut report)?;
                }
            }
        }
    }
    report.print(json);
    Ok(report)
}

/// What nodes sent to Redis.
struct Published {
    messages: u64,
    /// How many commands Redis got with one read.
    depth: usize,
    /// The command for one of them.
    command: Vec<String>,
}

fn nodes(
    setting: &Setting<'_>,
    target: &Target,
    in_flight: usize,
    redis: &Redis,
    report: &mut Report,
) -> anyhow::Result<Published> {
    let layout = Layout {
        cores: &setting.cores.beside_generator(),
        redis: Some(redis),
        rooms: ROOMS,
        members: MEMBERS,
        node: |number| (number / MEMBERS + number % MEMBERS) % NODES,
    };
    let (processes, mut swarm) = layout.start(setting, target)?;
    let mut traffic = ClosedLoop::new(target.dialect(), ROOMS, MEMBERS, in_flight);
    run_for(&mut swarm, &mut traffic, closed_loop::WARM_UP)?;
    let (sent, work) = (traffic.sent(), Work::begin(redis)?);
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(2.0))?;
    let messages = traffic.sent() - sent;
    let mut figures = Figures::default();
    figures.compared("messages/s", messages as f64 / seen.seconds);
    let depth = work.end(messages, &mut figures)?;
    figures.plain("nodes µs/message", seen.server.total() / 1e3 / messages as f64);
    percentiles(&mut traffic.latencies, &mut figures);
    seen.busy(&processes, &mut figures)?;
    report.add(&format!("{}: {NODES} nodes, {ROOMS} × {in_flight}", target.name), figures);

    let mut monitor = redis.client()?;
    monitor.command(&["MONITOR"])?;
    run_for(&mut swarm, &mut traffic, Duration::from_millis(1))?;
    let mut stamps = Finder::default();
    let command = loop {
        let line = monitor.answer()?;
        if line.contains(r#""EVALSHA""#) && stamps.find(line.as_bytes()).is_some() {
            break words(&line).with_context(|| format!("MONITOR says {line:?}"))?;
        }
    };
    Ok(Published { messages, depth, command })
}

/// The words of a command as `MONITOR` shows them, each in quotation marks. None
/// where one has other bytes than those that can be printed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some((_, begun)) = rest.split_once('"') {
        let (mut word, mut characters) = (String::new(), begun.chars());
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => word.push(characters.next().filter(|it| matches!(it, '"' | '\\'))?),
                other => word.push(other),
            }
        }
        words.push(word);
        rest = characters.as_str();
    }
    Some(words)
}

/// The same command as often, so many at once on each of as many connections, for
/// the room and with the script that are there.
fn alone(
    redis: &Redis,
    published: &Published,
    (row, depth): (&str, usize),
    report: &mut Report,
) -> anyhow::Result<()> {
    let Published { messages, command, .. } = published;
    let port = redis.process.address.port().to_string();
    let [clients, depth, often] = [NODES as u64, depth as u64, *messages].map(|it| it.to_string());
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["-p", &port, "-c", &clients, "-P", &depth, "-n", &often, "--csv"]);
    let work = Work::begin(redis)?;
    // On the core of this thread.
    let output = benchmark.args(command).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{row}: {}", output.status);
    let output = String::from_utf8(output.stdout)?;
    // "the command","requests a second", and six latencies.
    let rate = output.lines().last().and_then(|line| line.rsplit(r#"",""#).nth(6));
    let rate = rate.with_context(|| format!("{row} says {output:?}"))?.parse()?;
    let mut figures = Figures::default();
    figures.compared("messages/s", rate);
    work.end(*messages, &mut figures)?;
    report.add(row, figures);
    Ok(())
}

/// What Redis has done up to some moment.
struct Work<'a> {
    redis: &'a Redis,
    cpu: CpuClock,
    reads: u64,
    appended: u64,
}

impl<'a> Work<'a> {
    fn begin(redis: &'a Redis) -> anyhow::Result<Self> {
        let appended = redis.calls()?.get("xadd").copied().unwrap_or(0);
        Ok(Self { redis, cpu: redis.process.cpu()?, reads: redis.reads()?, appended })
    }

    /// What it did since for so many messages; how many commands it got with one read.
    ///
    /// # Errors
    /// Fewer than those were appended to a log.
    fn end(self, messages: u64, figures: &mut Figures) -> anyhow::Result<usize> {
        let now = Self::begin(self.redis)?;
        let appended = now.appended - self.appended;
        ensure!(appended >= messages, "of {messages} messages {appended} were appended");
        let (cpu, appended) = (now.cpu.since(&self.cpu).total(), appended as f64);
        figures.plain("Redis µs/message", cpu / 1e3 / appended);
        let depth = appended / (now.reads - self.reads) as f64;
        figures.plain("commands/read", depth);
        Ok(depth.round().max(1.0) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_monitor_shows_it() {
        let line = r#"1795308750.336 [0 127.0.0.1:5] "EVALSHA" "" "{\"a\":\"\\n\"}""#;
        assert_eq!(words(line).unwrap(), ["EVALSHA", "", r#"{"a":"\n"}"#]);
        for bad in [r#""cut off"#, r#""\x00""#] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
