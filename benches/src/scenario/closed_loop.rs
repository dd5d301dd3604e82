//! *inflight*: one member of the room keeps so many messages under way; a
//! message that has reached every member is followed by another.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, ensure};

use super::{Setting, Watch, paced::room, percentiles, tally::Tally};
use crate::{
    chat::{Dialect, Kind},
    clients::{Clients, Visitor, user},
    latency::Latencies,
    report::{Figures, Report},
    stamp::Stamp,
    swarm::{EAGER, Swarm, Traffic, Turn, nanos},
    target::Target,
};

const WARM_UP: Duration = Duration::from_millis(500);

/// The last messages have to arrive within.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(setting: &Setting<'_>, in_flight: usize) -> anyhow::Result<Report> {
    let members = setting.arguments.members;
    let title = format!("in flight: {in_flight} messages to {members} members of one room");
    let mut targets = setting.targets()?;
    if !setting.arguments.no_floor {
        targets.insert(1, Target::batched_floor());
    }
    setting.interleave(&format!("inflight-{in_flight}"), title, targets, 3, |target| {
        measure(setting, target, members, in_flight)
    })
}

fn measure(
    setting: &Setting<'_>,
    target: &Target,
    members: usize,
    in_flight: usize,
) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let dialect = target.dialect();
    let visitors = Visitor::many(dialect, members, |_| Some(room(0)))?;
    swarm.connect(&visitors, EAGER)?;
    swarm.settle()?;

    let mut traffic = ClosedLoop::new(dialect, members, in_flight);
    traffic.begin(&swarm, WARM_UP);
    swarm.run(&mut traffic)?;
    traffic.begin(&swarm, setting.seconds(2.0));
    let watch = Watch::start(&process, &swarm)?;
    swarm.run(&mut traffic)?;
    let seen = watch.stop(&swarm)?;

    let deliveries = traffic.latencies.len() as u64;
    let mut figures = Figures::default();
    figures.compared("deliveries/s", deliveries as f64 / seen.seconds);
    seen.cpu_per("CPU µs/delivery", deliveries, &mut figures);
    percentiles(&mut traffic.latencies, &mut figures);
    seen.busy(&process, &mut figures)?;
    Ok(figures)
}

struct ClosedLoop {
    dialect: Dialect,
    members: usize,
    in_flight: usize,
    tally: Tally,
    latencies: Latencies,
    /// All that were sent ever.
    sent: u32,
    /// By how many members each message under way is still awaited, the oldest first.
    awaited: VecDeque<usize>,
    until: u64,
}

impl ClosedLoop {
    fn new(dialect: Dialect, members: usize, in_flight: usize) -> Self {
        Self {
            dialect,
            members,
            in_flight,
            tally: Tally::new(members),
            latencies: Latencies::default(),
            sent: 0,
            awaited: VecDeque::new(),
            until: 0,
        }
    }

    fn begin(&mut self, swarm: &Swarm, time: Duration) {
        self.latencies.clear();
        self.until = swarm.now() + nanos(time);
    }
}

impl Traffic for ClosedLoop {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        if now < self.until {
            let mut messages = Vec::new();
            while self.awaited.len() < self.in_flight {
                self.sent += 1;
                self.awaited.push_back(self.members);
                let stamp = Stamp { publisher: 0, number: self.sent, sent: now };
                messages.push(self.dialect.chat(&room(0), &user(0), stamp));
            }
            if !messages.is_empty() {
                clients.send(0, messages.iter().map(String::as_str))?;
            }
        } else if self.awaited.is_empty() {
            return Ok(Turn::Over);
        }
        ensure!(
            now < self.until + nanos(PATIENCE),
            "{} messages did not arrive everywhere",
            self.awaited.len()
        );
        Ok(Turn::Wait(PATIENCE / 100))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        match Kind::of(message) {
            Kind::Chat => {
                let stamp = self.tally.chat(client, message, false)?;
                self.latencies.note(now - stamp.sent);
                let oldest = self.sent + 1 - u32::try_from(self.awaited.len())?;
                let at = stamp.number.checked_sub(oldest).context("a message nobody awaits")?;
                let awaited = self.awaited.get_mut(at as usize).context("a message not sent")?;
                *awaited -= 1;
                while self.awaited.front() == Some(&0) {
                    self.awaited.pop_front();
                }
            }
            Kind::Presence => {}
            _ => anyhow::bail!("unexpected: {}", String::from_utf8_lossy(message)),
        }
        Ok(())
    }
}
