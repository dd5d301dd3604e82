//! *storm*, *idle* and *idle15k*: what a connection costs that says nothing.

use std::{slice::from_ref, time::Duration};

use super::{
    Setting,
    paced::room,
    watch::{Watch, percentiles},
};
use crate::{
    clients::Visitor,
    report::{Figures, Report},
    swarm::EAGER,
    target::Target,
};

/// Connections of a storm, and how many of them are under way at once.
const STORM: usize = 12_000;
const AT_ONCE: usize = 64;

/// The server's heartbeat: within so long each connection is pinged once.
const HEARTBEAT: Duration = Duration::from_secs(25);

pub(super) fn storm(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let title = format!("connect storm: {STORM} connections, {AT_ONCE} under way at once");
    setting.interleave("storm", title, setting.targets()?, 5, |target| {
        let (process, mut swarm) = setting.start(target)?;
        let visitors = Visitor::many(target.dialect(), STORM, |_| None)?;
        let watch = Watch::start(from_ref(&process), &swarm)?;
        swarm.connect(&visitors, AT_ONCE)?;
        let seen = watch.stop(&swarm)?;

        let mut figures = Figures::default();
        figures.compared("connects/s", STORM as f64 / seen.seconds);
        seen.cpu_per("CPU µs/connect", STORM as u64, &mut figures);
        percentiles(&mut swarm.connecting, &mut figures);
        seen.busy(from_ref(&process), &mut figures)?;
        Ok(figures)
    })
}

/// Memory of so many connections, in no room, or in rooms of so many.
pub(super) fn idle(
    setting: &Setting<'_>,
    count: usize,
    to_a_room: Option<usize>,
) -> anyhow::Result<Report> {
    let (name, place) = match to_a_room {
        Some(members) => ("idle-rooms", format!("each in a room of {members}")),
        None => ("idle", "in no room".to_owned()),
    };
    let title = format!("idle: {count} connections, {place}");
    setting.interleave(name, title, setting.targets()?, 1, |target| {
        held(setting, target, count, to_a_room, Duration::ZERO)
    })
}

/// Memory and CPU of so many connections over one heartbeat of each.
pub(super) fn idle_with_heartbeats(setting: &Setting<'_>, count: usize) -> anyhow::Result<Report> {
    let title = format!("idle: {count} connections over one heartbeat of 25 s, in no room");
    setting.interleave("idle15k", title, setting.targets()?, 1, |target| {
        // The bare loop has no heartbeat.
        let time = if target.is_floor() { Duration::ZERO } else { HEARTBEAT };
        held(setting, target, count, None, time)
    })
}

fn held(
    setting: &Setting<'_>,
    target: &Target,
    count: usize,
    to_a_room: Option<usize>,
    time: Duration,
) -> anyhow::Result<Figures> {
    let (process, mut swarm) = setting.start(target)?;
    let visitors =
        Visitor::many(target.dialect(), count, |n| to_a_room.map(|size| room(n / size)))?;
    let before = process.resident()?;
    swarm.connect(&visitors, EAGER)?;
    swarm.settle()?;
    let after = process.resident()?;

    let mut figures = Figures::default();
    figures.plain("RSS KiB each", (after - before) / count as f64);
    figures.plain("RSS MiB before", before / 1024.0);
    figures.plain("RSS MiB", after / 1024.0);
    if !time.is_zero() {
        // Each was pinged before half of this is over: from here on they are
        // pinged in even distribution.
        swarm.rest(time)?;
        let pings = swarm.pings;
        let watch = Watch::start(from_ref(&process), &swarm)?;
        swarm.rest(time)?;
        let seen = watch.stop(&swarm)?;
        figures.plain("CPU %", seen.server.total() / 1e9 / seen.seconds * 100.0);
        figures.plain("pings", (swarm.pings - pings) as f64);
        figures.plain("RSS KiB each, later", (process.resident()? - before) / count as f64);
    }
    Ok(figures)
}
