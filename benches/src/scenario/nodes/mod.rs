//! *nodes*: what it costs that sender and listener are on two nodes with Redis
//! between them, beside one node and beside Redis alone.

pub(super) mod publish;

mod bare;
mod commands;

use std::{net::SocketAddr, slice::from_ref, time::Duration};

use anyhow::Context;

use super::{
    Setting,
    closed_loop::{self, ClosedLoop},
    paced::{self, Paced, room},
    watch::{DELIVERIES, Timed, run_for, watch_for},
};
use crate::{
    clients::{Clients, Visitor},
    cores::Cores,
    latency::Latencies,
    process::Process,
    redis::Redis,
    report::{Figures, Report},
    swarm::{Swarm, Traffic, Turn},
    target::Target,
};

/// The members: who speaks and who listens on the first node, and who listens on
/// the last one.
const MEMBERS: usize = 3;
const NEAR: usize = 1;
const FAR: usize = 2;

/// Messages a second where it is latency that counts: few enough that each finds
/// everybody idle.
const RATE: f64 = 200.0;

/// Where it is speed that counts: rooms, and messages under way in each. One
/// sender's messages go to Redis one by one, as their order is to be kept; those
/// of many go together.
const LOOPS: [(usize, usize); 2] = [(1, 64), (64, 1)];

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Vec<Report>> {
    let targets = Target::servers(setting.arguments)?;
    let title = format!("nodes: {RATE} messages a second over Redis; × of {}", bare::TOGETHER);
    let mut latency = Report::new("nodes", title, Some(bare::TOGETHER.to_owned()));
    let title = format!("nodes: {MEMBERS} members a room, rooms × messages in flight in each");
    let mut speed = Report::new("nodes-inflight", title, None);
    let title = "nodes: commands that Redis runs for each message, in scripts and outside";
    let mut commands = Report::new("nodes-commands", title.to_owned(), None);
    for _ in 0..setting.repeats(3) {
        bare::measure(setting, &mut latency)?;
        for target in &targets {
            latencies(setting, target, &mut latency)?;
            for in_flight in LOOPS {
                one_node_loop(setting, target, in_flight, &mut speed)?;
                two_nodes_loop(setting, target, in_flight, &mut speed, &mut commands)?;
            }
        }
    }
    let reports = vec![latency, speed, commands];
    for report in &reports {
        report.print(setting.arguments.json);
    }
    Ok(reports)
}

/// Who is started, and where.
struct Layout<'a> {
    /// Those of the nodes.
    cores: &'a Cores,
    /// With one there are two nodes, else one.
    redis: Option<&'a Redis>,
    rooms: usize,
    /// Of each room.
    members: usize,
    /// The node of each member; they are numbered room after room.
    node: fn(usize) -> usize,
}

impl<'a> Layout<'a> {
    /// Rooms of three, the last member on the second node where there is one.
    fn of_three(setting: &Setting<'a>, rooms: usize, redis: Option<&'a Redis>) -> Self {
        let node = |number| usize::from(number % MEMBERS == FAR);
        Self { cores: setting.cores, redis, rooms, members: MEMBERS, node }
    }

    fn start(
        &self,
        setting: &Setting<'_>,
        target: &Target,
    ) -> anyhow::Result<(Vec<Process>, Swarm)> {
        let start = || target.start(setting.arguments, self.cores, self.redis);
        let mut processes = vec![start()?];
        if self.redis.is_some() {
            processes.push(start()?);
        }
        let addresses: Vec<SocketAddr> = processes.iter().map(|node| node.address).collect();
        let mut swarm = Swarm::new(*addresses.first().context("no node")?, target.dialect())?;
        let visitors = Visitor::many(target.dialect(), self.rooms * self.members, |number| {
            Some(room(number / self.members))
        })?;
        for (number, visitor) in visitors.iter().enumerate() {
            let node = (self.node)(number) % addresses.len();
            swarm.clients.address = *addresses.get(node).context("no such node")?;
            swarm.connect(from_ref(visitor), 1)?;
        }
        swarm.settle()?;
        Ok((processes, swarm))
    }
}

fn latencies(setting: &Setting<'_>, target: &Target, report: &mut Report) -> anyhow::Result<()> {
    let measure = |redis: Option<&Redis>| {
        let (_processes, mut swarm) = Layout::of_three(setting, 1, redis).start(setting, target)?;
        let mut traffic = ByMember {
            paced: Paced::new(target.dialect(), MEMBERS, MEMBERS, RATE),
            members: vec![Latencies::default(); MEMBERS],
        };
        run_for(&mut swarm, &mut traffic, paced::WARM_UP)?;
        run_for(&mut swarm, &mut traffic, setting.seconds(4.0))?;
        let mut of = |member: usize| traffic.members.get_mut(member).map(times);
        of(NEAR).zip(of(FAR)).context("no such member")
    };
    let (alone, _) = measure(None)?;
    let (near, far) = measure(Some(&Redis::start(setting.cores)?))?;
    let mut add = |row: &str, times: Times| {
        report.add(&format!("{}: {row}", target.name), figures(times));
    };
    add("one node", alone);
    add("two nodes, to the sender's", near);
    add("two nodes, to the other", far);
    add("added to the sender's", difference(near, alone));
    add("added to the other", difference(far, alone));
    Ok(())
}

/// The latencies within which so many of a hundred messages stay.
const SHARES: [(&str, f64); 3] = [("p50 ms", 0.5), ("p90 ms", 0.9), ("p99 ms", 0.99)];

type Times = [f64; SHARES.len()];

fn times(latencies: &mut Latencies) -> Times {
    SHARES.map(|(_, share)| latencies.percentile(share))
}

fn difference(mut longer: Times, shorter: Times) -> Times {
    for (time, shorter) in longer.iter_mut().zip(shorter) {
        *time -= shorter;
    }
    longer
}

fn figures(times: Times) -> Figures {
    let mut figures = Figures::default();
    for ((name, _), time) in SHARES.into_iter().zip(times) {
        figures.compared(name, time);
    }
    figures
}

fn one_node_loop(
    setting: &Setting<'_>,
    target: &Target,
    (rooms, in_flight): (usize, usize),
    report: &mut Report,
) -> anyhow::Result<()> {
    let (processes, mut swarm) = Layout::of_three(setting, rooms, None).start(setting, target)?;
    let mut traffic = ClosedLoop::new(target.dialect(), rooms, MEMBERS, in_flight);
    run_for(&mut swarm, &mut traffic, closed_loop::WARM_UP)?;
    let sent = traffic.sent();
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(2.0))?;
    let mut figures = Figures::default();
    figures.plain("messages/s", (traffic.sent() - sent) as f64 / seen.seconds);
    seen.closed_loop(DELIVERIES, &mut traffic.latencies, &processes, &mut figures)?;
    report.add(&row(target, "one node", rooms, in_flight), figures);
    Ok(())
}

fn two_nodes_loop(
    setting: &Setting<'_>,
    target: &Target,
    (rooms, in_flight): (usize, usize),
    speed: &mut Report,
    commands: &mut Report,
) -> anyhow::Result<()> {
    let redis = Redis::start(setting.cores)?;
    let layout = Layout::of_three(setting, rooms, Some(&redis));
    let (processes, mut swarm) = layout.start(setting, target)?;
    let mut traffic = ClosedLoop::new(target.dialect(), rooms, MEMBERS, in_flight);
    run_for(&mut swarm, &mut traffic, closed_loop::WARM_UP)?;
    let (sent, clock, calls) = (traffic.sent(), redis.process.cpu()?, redis.calls()?);
    let seen = watch_for(&processes, &mut swarm, &mut traffic, setting.seconds(2.0))?;
    let messages = traffic.sent() - sent;
    let cpu = redis.process.cpu()?.since(&clock).total();
    let row = row(target, "two nodes", rooms, in_flight);
    commands.add(&row, commands::of_each(messages, &calls, &redis.calls()?, seen.seconds)?);
    let mut figures = Figures::default();
    figures.plain("messages/s", messages as f64 / seen.seconds);
    seen.closed_loop(DELIVERIES, &mut traffic.latencies, &processes, &mut figures)?;
    figures.plain("Redis µs/message", cpu / 1e3 / messages.max(1) as f64);
    figures.plain("Redis %", cpu / 1e9 / seen.seconds * 100.0);
    speed.add(&row, figures);
    Ok(())
}

fn row(target: &Target, nodes: &str, rooms: usize, in_flight: usize) -> String {
    format!("{}: {nodes}, {rooms} × {in_flight}", target.name)
}

/// Paced messages, with the latencies of each member by themselves.
struct ByMember {
    paced: Paced,
    members: Vec<Latencies>,
}

impl Timed for ByMember {
    fn begin(&mut self, swarm: &Swarm, time: Duration) {
        self.members.iter_mut().for_each(Latencies::clear);
        self.paced.begin(swarm, time);
    }
}

impl Traffic for ByMember {
    fn turn(&mut self, clients: &mut Clients, now: u64) -> anyhow::Result<Turn> {
        self.paced.turn(clients, now)
    }

    fn message(&mut self, client: usize, message: &[u8], now: u64) -> anyhow::Result<()> {
        self.paced.message(client, message, now)?;
        if let Some(latency) = self.paced.latencies.take_newest()
            && let Some(member) = self.members.get_mut(client)
        {
            member.note(latency);
        }
        Ok(())
    }
}
