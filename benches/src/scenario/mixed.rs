//! *mixed*: chat, signals and shared state in one room. Chat reaches each member
//! once and in order; of signals and state values may be skipped, never the
//! last one.

use std::{slice::from_ref, time::Duration};

use anyhow::{Context, ensure};

use super::{
    Setting,
    paced::room,
    tally::Tally,
    watch::{Watch, percentiles},
};
use crate::{
    chat::{Dialect, Kind},
    clients::{Clients, Visitor, user},
    latency::Latencies,
    report::{Figures, Report},
    stamp::{Finder, Stamp},
    swarm::{EAGER, Swarm, Traffic, Turn, nanos},
    target::Target,
};

const MEMBERS: usize = 200;

/// Who says what, how often a second: the member, and then so many behind it.
const CHAT: (usize, usize, f64) = (0, 1, 20.0);
const SIGNALS: (usize, usize, f64) = (1, 10, 30.0);
const STATE: (usize, usize, f64) = (11, 5, 10.0);

const SPEAKERS: usize = CHAT.1 + SIGNALS.1 + STATE.1;

/// The last messages have to arrive within.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let title = format!(
        "mixed: {MEMBERS} members of one room; chat at {} Hz, {} cursors at {} Hz, {} keys at {} Hz",
        CHAT.2, SIGNALS.1, SIGNALS.2, STATE.1, STATE.2
    );
    setting.interleave("mixed", title, setting.targets()?, 2, |target| measure(setting, target))
}

fn measure(setting: &Setting<'_>, target: &Target) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let dialect = target.dialect();
    let visitors = Visitor::many(dialect, MEMBERS, |_| Some(room(0)))?;
    swarm.connect(&visitors, EAGER)?;
    swarm.settle()?;

    let mut traffic = Mixed::new(dialect, &swarm, setting.seconds(5.0));
    let watch = Watch::start(from_ref(&process), &swarm)?;
    swarm.run(&mut traffic)?;
    let seen = watch.stop(&swarm)?;

    let mut figures = Figures::default();
    // What a server without a lane for the latest would have to deliver.
    seen.cpu_per("CPU µs/message×member", traffic.sent * MEMBERS as u64, &mut figures);
    figures.compared("told", traffic.told as f64 / (traffic.sent * MEMBERS as u64) as f64);
    percentiles(&mut traffic.chats, &mut figures);
    figures.compared("latest p50 ms", traffic.values.percentile(0.5));
    figures.compared("latest p99 ms", traffic.values.percentile(0.99));
    seen.busy(from_ref(&process), &mut figures)?;
    Ok(figures)
}

/// A member that speaks.
struct Speaker {
    kind: Kind,
    period: u64,
    next: u64,
    sent: u32,
}

struct Mixed {
    dialect: Dialect,
    speakers: Vec<Speaker>,
    until: u64,
    tally: Tally,
    finder: Finder,
    /// Of each member, the number of the newest message of each speaker.
    newest: Vec<[u32; SPEAKERS]>,
    chats: Latencies,
    values: Latencies,
    sent: u64,
    told: u64,
}

impl Mixed {
    fn new(dialect: Dialect, swarm: &Swarm, time: Duration) -> Self {
        let began = swarm.now();
        let kinds = [(Kind::Chat, CHAT), (Kind::Signal, SIGNALS), (Kind::Set, STATE)];
        let speakers = kinds.into_iter().flat_map(|(kind, (_, count, rate))| {
            let period = nanos(Duration::from_secs_f64(1.0 / rate));
            (0..count).map(move |number| {
                // Not all at once.
                let next = began + period * number as u64 / count as u64;
                Speaker { kind, period, next, sent: 0 }
            })
        });
        Self {
            dialect,
            speakers: speakers.collect(),
            until: began + nanos(time),
            tally: Tally::new(MEMBERS),
            finder: Finder::default(),
            newest: vec![[0; SPEAKERS]; MEMBERS],
            chats: Latencies::default(),
            values: Latencies::default(),
            sent: 0,
            told: 0,
        }
    }

    /// Whether every member knows the last message of every speaker.
    fn is_complete(&self) -> bool {
        self.newest.iter().enumerate().all(|(member, newest)| {
            self.speakers.iter().zip(newest).enumerate().all(|(speaker, (spoke, newest))| {
                // Signals go to the others.
                *newest == spoke.sent || spoke.kind == Kind::Signal && member == speaker
            })
        })
    }
}

impl Traffic for Mixed {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        if now >= self.until {
            if self.is_complete() {
                return Ok(Turn::Over);
            }
            ensure!(now < self.until + nanos(PATIENCE), "a last value did not arrive everywhere");
            return Ok(Turn::Wait(Duration::from_millis(20)));
        }
        let (dialect, room) = (self.dialect, room(0));
        let mut next = self.until;
        for (number, speaker) in self.speakers.iter_mut().enumerate() {
            if speaker.next <= now {
                speaker.next += speaker.period;
                speaker.sent += 1;
                self.sent += 1;
                let user = user(number);
                let stamp =
                    Stamp { publisher: u32::try_from(number)?, number: speaker.sent, sent: now };
                let message = match speaker.kind {
                    Kind::Signal => dialect.signal(&room, &user, stamp),
                    Kind::Set => dialect.set(&room, &user, stamp),
                    _ => dialect.chat(&room, &user, stamp),
                };
                clients.send(number, [message.as_str()])?;
            }
            next = next.min(speaker.next);
        }
        Ok(Turn::Wait(Duration::from_nanos(next.saturating_sub(now))))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        let stamp = match Kind::of(message) {
            Kind::Chat => {
                let stamp = self.tally.chat(client, message, true)?;
                self.chats.note(now - stamp.sent);
                stamp
            }
            Kind::Signal | Kind::Set => {
                let stamp = self.finder.find(message).context("a message without a stamp")?;
                self.values.note(now - stamp.sent);
                stamp
            }
            Kind::Presence => return Ok(()),
            _ => anyhow::bail!("unexpected: {}", String::from_utf8_lossy(message)),
        };
        self.told += 1;
        let newest = self.newest.get_mut(client).context("no such client")?;
        let newest = newest.get_mut(stamp.publisher as usize).context("no such speaker")?;
        ensure!(stamp.number > *newest, "value {} after {newest}", stamp.number);
        *newest = stamp.number;
        Ok(())
    }
}
