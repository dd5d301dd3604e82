//! *fanout* and *rooms*: every room is told so many messages a second.

use std::time::Duration;

use anyhow::ensure;

use super::{
    Setting,
    tally::Tally,
    watch::{Timed, percentiles, run_for, watch_for},
};
use crate::{
    chat::{Dialect, Kind},
    clients::{Clients, Visitor, user},
    latency::Latencies,
    report::{Figures, Report},
    stamp::Stamp,
    swarm::{EAGER, Swarm, Traffic, Turn, nanos},
    target::Target,
};

/// Members of a room of `rooms`.
const SMALL: usize = 10;

/// Before anything is measured.
pub(super) const WARM_UP: Duration = Duration::from_millis(1000);

/// What was sent last has to arrive within.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn one_room(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let members = setting.arguments.members;
    let rate = setting.arguments.rate;
    let title = format!("fan-out: {members} members of one room, {rate} messages a second");
    setting.interleave("fanout", title, setting.targets()?, 3, |target| {
        run(setting, target, members, members)
    })
}

pub(super) fn many_rooms(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let members = setting.arguments.members;
    let rate = setting.arguments.rate;
    let title =
        format!("rooms: {members} clients in rooms of {SMALL}, {rate} messages a second to each");
    setting.interleave("rooms", title, setting.targets()?, 3, |target| {
        run(setting, target, members, SMALL)
    })
}

fn run(
    setting: &Setting<'_>,
    target: &Target,
    clients: usize,
    to_a_room: usize,
) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let dialect = target.dialect();
    let visitors = Visitor::many(dialect, clients, |n| Some(room(n / to_a_room)))?;
    swarm.connect(&visitors, EAGER)?;
    swarm.settle()?;

    let mut traffic = Paced::new(dialect, clients, to_a_room, setting.arguments.rate);
    run_for(&mut swarm, &mut traffic, WARM_UP)?;
    let processes = [process];
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(4.0))?;
    let mut figures = Figures::default();
    let latencies = &mut traffic.latencies;
    seen.cpu_per("CPU µs/delivery", latencies.len() as u64, &mut figures);
    percentiles(latencies, &mut figures);
    figures.plain("deliveries/s", latencies.len() as f64 / seen.seconds);
    seen.busy(&processes, &mut figures)?;
    Ok(figures)
}

/// The name of the room of so many.
pub(super) fn room(number: usize) -> String {
    format!("room{number}")
}

/// The first member of each room speaks; the rooms take turns.
pub(super) struct Paced {
    dialect: Dialect,
    rooms: u64,
    to_a_room: usize,
    /// Between two messages, to whichever room.
    period: Duration,
    tally: Tally,
    pub(super) latencies: Latencies,
    /// All that were sent ever.
    sent: u64,
    /// The first one of this part of the run, and when it was due.
    first: u64,
    began: u64,
    last: u64,
}

impl Paced {
    pub(super) fn new(dialect: Dialect, clients: usize, to_a_room: usize, rate: f64) -> Self {
        let rooms = clients.div_ceil(to_a_room);
        Self {
            dialect,
            rooms: rooms as u64,
            to_a_room,
            period: Duration::from_secs_f64(1.0 / rate / rooms as f64),
            tally: Tally::new(clients),
            latencies: Latencies::default(),
            sent: 0,
            first: 0,
            began: 0,
            last: 0,
        }
    }

    fn due(&self) -> u64 {
        self.began + (self.sent - self.first) * nanos(self.period)
    }

    fn say(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<()> {
        let room_number = usize::try_from(self.sent % self.rooms)?;
        let number = u32::try_from(self.sent / self.rooms)? + 1;
        self.sent += 1;
        let publisher = room_number * self.to_a_room;
        let stamp = Stamp { publisher: u32::try_from(room_number)?, number, sent: now };
        let message = self.dialect.chat(&room(room_number), &user(publisher), stamp);
        clients.send(publisher, [message.as_str()])
    }
}

/// In whole rounds of the rooms.
impl Timed for Paced {
    fn begin(&mut self, swarm: &Swarm, time: Duration) {
        self.latencies.clear();
        self.first = self.sent;
        self.began = swarm.now();
        let messages = nanos(time) / nanos(self.period).max(1);
        self.last = self.first + messages.next_multiple_of(self.rooms);
    }
}

impl Traffic for Paced {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        while self.sent < self.last && self.due() <= now {
            self.say(clients, now)?;
        }
        if self.sent < self.last {
            return Ok(Turn::Wait(Duration::from_nanos(self.due().saturating_sub(now))));
        }
        let expected = self.sent * self.to_a_room as u64;
        if self.tally.total == expected {
            return Ok(Turn::Over);
        }
        ensure!(
            now < self.due() + nanos(PATIENCE),
            "of {expected} messages {} arrived",
            self.tally.total
        );
        Ok(Turn::Wait(PATIENCE / 100))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        match Kind::of(message) {
            Kind::Chat => {
                let stamp = self.tally.chat(client, message, false)?;
                self.latencies.note(now - stamp.sent);
            }
            Kind::Presence => {}
            _ => anyhow::bail!("unexpected: {}", String::from_utf8_lossy(message)),
        }
        Ok(())
    }
}
