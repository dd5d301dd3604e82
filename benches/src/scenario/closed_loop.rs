//! *inflight*: one member of the room keeps so many messages under way; a
//! message that has reached every member is followed by another. And *workers*: the
//! same with one worker and with two, and a generator that is out of their way.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, ensure};

use super::{
    Setting,
    paced::room,
    tally::Tally,
    watch::{DELIVERIES, Timed, run_for, watch_for},
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

/// Before anything is measured.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

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
        measure(setting, target, members, in_flight, |_| true)
    })
}

/// One worker and two, with a core for each. The generator has to share one of two
/// cores, so it is kept small: it reads what a sample of the members is told, and
/// counts the bytes of the others. A message that has reached the sample is followed
/// by another.
pub(super) fn workers(setting: &Setting<'_>, in_flight: usize) -> anyhow::Result<Report> {
    let cores = setting.cores.with_servers_on(2);
    let setting = &Setting { cores: &cores, ..*setting };
    let (members, cores) = (setting.arguments.members, cores.servers.len());
    let title = format!(
        "workers on cores: {cores}; {in_flight} messages in flight to {members} members of one room"
    );
    // Whom the server accepted first, and last, and some of each worker.
    let is_watched = |member: usize| member.is_multiple_of(31) || member + 2 >= members;
    let with = |server: &Target, count: usize| {
        let what = format!("workers: {count}");
        server.with(&what, "ROOKERY__SERVER__WORKERS", count.to_string())
    };
    let servers = Target::servers(setting.arguments)?;
    let targets: Vec<_> =
        servers.iter().flat_map(|server| [1, 2].map(|count| with(server, count))).collect();
    let one = targets.first().map(|target| target.name.clone());
    let report = Report::new(&format!("workers-{in_flight}"), title, one);
    setting.fill(report, &targets, 3, |target| {
        measure(setting, target, members, in_flight, is_watched)
    })
}

fn measure(
    setting: &Setting<'_>,
    target: &Target,
    members: usize,
    in_flight: usize,
    is_watched: impl Fn(usize) -> bool,
) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let dialect = target.dialect();
    let visitors = Visitor::many(dialect, members, |_| Some(room(0)))?;
    swarm.connect(&visitors, EAGER)?;
    swarm.settle()?;

    let watched = (0..members).filter(|member| is_watched(*member)).count();
    swarm.watch_only(is_watched)?;
    let mut traffic = ClosedLoop::new(dialect, 1, members, in_flight).heard_by(watched);
    run_for(&mut swarm, &mut traffic, WARM_UP)?;
    let processes = [process];
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(2.0))?;
    let mut figures = Figures::default();
    // The first member is told its acks as well.
    swarm.all_told_as(members - 1)?;
    let deliveries = DELIVERIES.times(members as f64 / watched as f64);
    seen.closed_loop(deliveries, &mut traffic.latencies, &processes, &mut figures)?;
    Ok(figures)
}

/// In each room the first member keeps messages under way.
pub(super) struct ClosedLoop {
    dialect: Dialect,
    members: usize,
    /// The members of a room whose messages are read.
    watched: usize,
    in_flight: usize,
    rooms: Vec<Room>,
    tally: Tally,
    pub(super) latencies: Latencies,
    until: u64,
}

#[derive(Clone, Default)]
struct Room {
    /// All that were sent ever.
    sent: u32,
    /// By how many of those each message under way is still awaited, the oldest first.
    awaited: VecDeque<usize>,
}

impl ClosedLoop {
    /// The members of a room are connected one after the other.
    pub(super) fn new(dialect: Dialect, rooms: usize, members: usize, in_flight: usize) -> Self {
        Self {
            dialect,
            members,
            watched: members,
            in_flight,
            rooms: vec![Room::default(); rooms],
            tally: Tally::new(rooms * members),
            latencies: Latencies::default(),
            until: 0,
        }
    }

    /// A message counts as arrived when so many members have it, who are all that are watched.
    fn heard_by(self, watched: usize) -> Self {
        Self { watched, ..self }
    }

    /// How many messages were sent ever.
    pub(super) fn sent(&self) -> u64 {
        self.rooms.iter().map(|room| u64::from(room.sent)).sum()
    }
}

impl Timed for ClosedLoop {
    fn begin(&mut self, swarm: &Swarm, time: Duration) {
        self.latencies.clear();
        self.until = swarm.now() + nanos(time);
    }
}

impl Traffic for ClosedLoop {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        if now < self.until {
            for (number, of) in self.rooms.iter_mut().enumerate() {
                let publisher = number * self.members;
                let mut messages = Vec::new();
                while of.awaited.len() < self.in_flight {
                    of.sent += 1;
                    of.awaited.push_back(self.watched);
                    let stamp =
                        Stamp { publisher: u32::try_from(number)?, number: of.sent, sent: now };
                    messages.push(self.dialect.chat(&room(number), &user(publisher), stamp));
                }
                if !messages.is_empty() {
                    clients.send(publisher, messages.iter().map(String::as_str))?;
                }
            }
        } else if self.rooms.iter().all(|room| room.awaited.is_empty()) {
            return Ok(Turn::Over);
        }
        ensure!(
            now < self.until + nanos(PATIENCE),
            "{} messages did not arrive everywhere",
            self.rooms.iter().map(|room| room.awaited.len()).sum::<usize>()
        );
        Ok(Turn::Wait(PATIENCE / 100))
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        match Kind::of(message) {
            Kind::Chat => {
                let stamp = self.tally.chat(client, message, false)?;
                self.latencies.note(now - stamp.sent);
                let room = client / self.members;
                ensure!(stamp.publisher == u32::try_from(room)?, "a message of another room");
                let room = self.rooms.get_mut(room).context("no such room")?;
                let oldest = room.sent + 1 - u32::try_from(room.awaited.len())?;
                let at = stamp.number.checked_sub(oldest).context("a message nobody awaits")?;
                let awaited = room.awaited.get_mut(at as usize).context("a message not sent")?;
                *awaited -= 1;
                while room.awaited.front() == Some(&0) {
                    room.awaited.pop_front();
                }
            }
            Kind::Presence => {}
            _ => anyhow::bail!("unexpected: {}", String::from_utf8_lossy(message)),
        }
        Ok(())
    }
}
