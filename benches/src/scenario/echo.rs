//! *echo*: what a socket costs both ways, without rooms.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::{
    Setting,
    closed_loop::WARM_UP,
    watch::{MESSAGES, Timed, run_for, watch_for},
};
use crate::{
    chat::TEXT,
    clients::{Clients, Visitor},
    latency::Latencies,
    report::{Figures, Report},
    stamp::{Finder, Stamp},
    swarm::{EAGER, Swarm, Traffic, Turn, nanos},
    target::Target,
};

const CLIENTS: usize = 64;

/// The last messages have to come back within.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let title = format!("echo: {CLIENTS} clients with one message under way each");
    setting.interleave("echo", title, setting.targets()?, 3, |target| measure(setting, target))
}

fn measure(setting: &Setting<'_>, target: &Target) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let visitors: Vec<Visitor> = (0..CLIENTS).map(|_| Visitor::echo()).collect();
    swarm.connect(&visitors, EAGER)?;

    let mut traffic = Echo::new();
    run_for(&mut swarm, &mut traffic, WARM_UP)?;
    let processes = [process];
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(2.0))?;
    let mut figures = Figures::default();
    seen.closed_loop(MESSAGES, &mut traffic.latencies, &processes, &mut figures)?;
    Ok(figures)
}

struct Echo {
    /// How many messages each client has sent.
    sent: Vec<u32>,
    /// Whose turn it is to send.
    ready: Vec<usize>,
    finder: Finder,
    latencies: Latencies,
    until: u64,
}

impl Echo {
    fn new() -> Self {
        Self {
            sent: vec![0; CLIENTS],
            ready: Vec::new(),
            finder: Finder::default(),
            latencies: Latencies::default(),
            until: 0,
        }
    }
}

impl Timed for Echo {
    fn begin(&mut self, swarm: &Swarm, time: Duration) {
        self.latencies.clear();
        self.ready = (0..CLIENTS).collect();
        self.until = swarm.now() + nanos(time);
    }
}

impl Traffic for Echo {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        if now < self.until {
            for client in self.ready.drain(..) {
                let number = self.sent.get_mut(client).context("no such client")?;
                *number += 1;
                let publisher = u32::try_from(client)?;
                let mut text = String::with_capacity(TEXT);
                Stamp { publisher, number: *number, sent: now }.put(&mut text, TEXT);
                clients.send(client, [text.as_str()])?;
            }
        } else if self.ready.len() == CLIENTS {
            return Ok(Turn::Over);
        }
        ensure!(now < self.until + nanos(PATIENCE), "not everything came back");
        Ok(Turn::Wait(PATIENCE / 100))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        let stamp = self.finder.find(message).context("not what was sent")?;
        let sent = self.sent.get(client).context("no such client")?;
        ensure!(stamp.number == *sent, "message {} where {sent} is due", stamp.number);
        ensure!(stamp.publisher == u32::try_from(client)?, "another client's message");
        self.latencies.note(now - stamp.sent);
        self.ready.push(client);
        Ok(())
    }
}
