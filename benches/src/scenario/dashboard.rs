//! *dashboard*: many agents write their state many times a second, each under a
//! key of its own, and many look on. Each watcher is told no more than one value
//! of a key within `outbound.coalesce`, and in the end the last one of each.

use std::{slice::from_ref, time::Duration};

use anyhow::{Context, ensure};

use super::{
    Setting,
    paced::room,
    watch::{Watch, percentiles},
};
use crate::{
    chat::Kind,
    clients::{Clients, Visitor},
    latency::Latencies,
    report::{Figures, Report},
    stamp::{Finder, Stamp},
    swarm::{EAGER, Swarm, Traffic, Turn, nanos},
    target::Target,
};

const AGENTS: usize = 500;
const WATCHERS: usize = 200;
/// How often a second an agent writes.
const RATE: u64 = 10;
/// How long a value is, without what is around it: about as long as one of
/// `rookery demo agents`.
const VALUE: usize = 180;
/// The values of `outbound.coalesce` that are measured, in milliseconds: the
/// default, and one that an agent writes several values in.
const COALESCE: [u64; 2] = [100, 500];

/// The last values have to arrive within.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let title =
        format!("dashboard: {AGENTS} agents write {RATE} values a second each, {WATCHERS} look on");
    let servers = Target::servers(setting.arguments)?;
    let targets = servers.iter().flat_map(|server| {
        COALESCE
            .map(|ms| server.with(&format!("coalesce {ms} ms"), COALESCE_KEY, format!("{ms}ms")))
    });
    setting.interleave("dashboard", title, targets.collect(), 2, |target| measure(setting, target))
}

const COALESCE_KEY: &str = "ROOKERY__OUTBOUND__COALESCE";

fn measure(setting: &Setting<'_>, target: &Target) -> anyhow::Result<Figures> {
    let coalesce = target.setting(COALESCE_KEY).and_then(|it| it.strip_suffix("ms")?.parse().ok());
    let coalesce = Duration::from_millis(coalesce.context("outbound.coalesce")?);
    let (process, mut swarm) = setting.start(target)?;
    let room = room(0);
    let place = |number| (number >= AGENTS).then(|| room.clone());
    swarm.connect(&Visitor::many(target.dialect(), AGENTS + WATCHERS, place)?, EAGER)?;
    let join = format!(r#"{{"type":"join","room":"{room}","listen":false}}"#);
    for agent in 0..AGENTS {
        swarm.clients.send(agent, [join.as_str()])?;
    }
    swarm.settle()?;

    let mut traffic = Dashboard::new(room, &swarm, setting.seconds(5.0));
    let watch = Watch::start(from_ref(&process), &swarm)?;
    swarm.run(&mut traffic)?;
    let seen = watch.stop(&swarm)?;

    let told: u64 = traffic.told.iter().flatten().map(|told| u64::from(told.count)).sum();
    let intervals = seen.seconds / coalesce.as_secs_f64();
    // One at once, and one after each interval.
    let most = traffic.told.iter().flatten().map(|told| told.count).max().unwrap_or_default();
    ensure!(
        f64::from(most) <= intervals + 1.0,
        "{most} values of a key in {intervals:.1} intervals"
    );
    let frame = traffic.bytes as f64 / told.max(1) as f64;
    let kib = |values: f64| values * frame / 1024.0;

    let mut figures = Figures::default();
    figures.plain("KiB/s each", kib(told as f64 / WATCHERS as f64 / seen.seconds));
    figures.plain("allowed", kib(AGENTS as f64 * (intervals + 1.0) / seen.seconds));
    figures.plain("bytes/value", frame);
    figures.plain("told", told as f64 / (traffic.sent * WATCHERS as u64) as f64);
    seen.cpu_per("CPU µs/value told", told, &mut figures);
    percentiles(&mut traffic.latencies, &mut figures);
    seen.busy(from_ref(&process), &mut figures)?;
    Ok(figures)
}

/// What a watcher was told of an agent.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    count: u32,
    /// The number of the newest value.
    newest: u32,
}

struct Dashboard {
    room: String,
    began: u64,
    until: u64,
    /// Values sent: the agents take turns.
    sent: u64,
    /// Of each watcher, what it was told of each agent.
    told: Vec<Vec<Told>>,
    /// Of all that watchers were told, frames included.
    bytes: u64,
    finder: Finder,
    latencies: Latencies,
}

impl Dashboard {
    fn new(room: String, swarm: &Swarm, time: Duration) -> Self {
        let began = swarm.now();
        Self {
            room,
            began,
            until: began + nanos(time),
            sent: 0,
            told: vec![vec![Told::default(); AGENTS]; WATCHERS],
            bytes: 0,
            finder: Finder::default(),
            latencies: Latencies::default(),
        }
    }

    /// When the next value is due.
    fn due(&self) -> u64 {
        self.began + self.sent * (1_000_000_000 / (RATE * AGENTS as u64))
    }

    /// How many values an agent has sent.
    fn numbers(&self, agent: usize) -> u64 {
        (self.sent + (AGENTS - 1 - agent) as u64) / AGENTS as u64
    }

    /// Whether every watcher knows the last value of every agent.
    fn is_complete(&self) -> bool {
        self.told.iter().all(|told| {
            told.iter().enumerate().all(|(agent, it)| u64::from(it.newest) == self.numbers(agent))
        })
    }

    fn send(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<()> {
        let agent = usize::try_from(self.sent)? % AGENTS;
        self.sent += 1;
        let number = u32::try_from(self.numbers(agent))?;
        let stamp = Stamp { publisher: u32::try_from(agent)?, number, sent: now };
        let room = &self.room;
        let mut message = format!(
            r#"{{"type":"set","room":"{room}","key":"agent-{agent:03}","value":{{"state":""#
        );
        stamp.put(&mut message, VALUE);
        message.push_str(r#""}}"#);
        clients.send(agent, [message.as_str()])
    }
}

impl Traffic for Dashboard {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        if now >= self.until {
            if self.is_complete() {
                return Ok(Turn::Over);
            }
            ensure!(now < self.until + nanos(PATIENCE), "a last value did not arrive everywhere");
            return Ok(Turn::Wait(Duration::from_millis(20)));
        }
        while self.due() <= now {
            self.send(clients, now)?;
        }
        Ok(Turn::Wait(Duration::from_nanos(self.due().min(self.until) - now)))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        match Kind::of(message) {
            Kind::Set => {}
            Kind::Presence => return Ok(()),
            _ => anyhow::bail!("unexpected: {}", String::from_utf8_lossy(message)),
        }
        let watcher = client.checked_sub(AGENTS).context("an agent was told something")?;
        let stamp = self.finder.find(message).context("a value without a stamp")?;
        let told = self.told.get_mut(watcher).context("no such watcher")?;
        let told = told.get_mut(stamp.publisher as usize).context("no such agent")?;
        ensure!(stamp.number > told.newest, "value {} after {}", stamp.number, told.newest);
        told.newest = stamp.number;
        told.count += 1;
        // Every one is longer than 125 bytes and shorter than 64 KiB.
        self.bytes += message.len() as u64 + 4;
        self.latencies.note(now - stamp.sent);
        Ok(())
    }
}
