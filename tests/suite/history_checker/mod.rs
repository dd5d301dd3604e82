//! Many clients over several nodes, faults of every kind, and a judge: nothing
//! acknowledged is lost or doubled, there is one order everywhere, `joined` and
//! what comes live agree, live delivery never stands still, presence converges
//! within its lease.
//!
//! The choices of clients and faults come from a seed, which is printed. What
//! was sent, acknowledged and received is [recorded](record) and
//! [judged](judge) when all is well again. `docs/testing.md` tells how to run
//! it for longer and how to read what it prints.

mod client;
mod judge;
mod parse;
mod plan;
mod record;
mod run;
mod servers;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::harness::Random;
use judge::judge;
use plan::Setup;
use record::{Event, History};

/// A long run is many of these, each with servers and rooms of its own, so that
/// what is kept in memory is bounded and a trace is near its cause.
const ROUND: u64 = 60;
/// How many violations are shown with what led to them.
const SHOWN: usize = 3;

const CLUSTER: Setup = Setup {
    redis: true,
    nodes: 3,
    workers: 2,
    durable: false,
    losing: false,
    clients: 20,
    users: 16,
    rooms: 4,
    small_rooms: false,
};

/// Many small rooms on one node, whose members write at the same moments.
const SMALL_ROOMS: Setup = Setup {
    redis: false,
    nodes: 1,
    clients: 24,
    users: 22,
    rooms: 40,
    small_rooms: true,
    ..CLUSTER
};

/// Runs rounds for the time asked for, and fails at the first that breaks a law.
async fn check(name: &str, setup: Setup, seconds: u64) {
    let asked = std::env::var("ROOKERY_HISTORY_SECONDS").ok();
    let mut left = asked.map_or(seconds, |text| {
        text.parse().unwrap_or_else(|_| panic!("ROOKERY_HISTORY_SECONDS={text}: expected a number"))
    });
    let mut seed = Random::seed("ROOKERY_HISTORY_SEED");
    while left > 0 {
        let work = left.min(ROUND);
        let command = format!("make history RUN={name} SEED={seed} SECONDS={work}");
        println!("{command}");
        let outcome = run::run(&setup, seed, Duration::from_secs(work)).await;
        println!("{}", summary(&outcome));
        let history = &outcome.history;
        let violations = judge(history, !setup.losing);
        for violation in violations.iter().take(SHOWN) {
            println!("\n{}", trace::trace(history, violation));
        }
        if !violations.is_empty() {
            let rest = violations.iter().skip(SHOWN).take(20);
            let rest: Vec<String> = rest.map(ToString::to_string).collect();
            println!("{}\n{}", rest.join("\n"), outcome.logs);
            panic!("{} violations; to repeat: {command}", violations.len());
        }
        left -= work;
        seed = seed.wrapping_add(1);
    }
}

fn summary(outcome: &run::Outcome) -> String {
    let history: &History = &outcome.history;
    let events = || history.clients.iter().flat_map(|client| &client.events).map(|(_, it)| it);
    let count = |is: fn(&Event) -> bool| events().filter(|event| is(event)).count();
    let acks = count(|it| matches!(it, Event::Acked { .. }));
    let duplicates = count(|it| matches!(it, Event::Acked { duplicate: true, .. }));
    let epochs: BTreeSet<_> = events()
        .filter_map(|event| match event {
            Event::Joined { room, joined, .. } => Some((room, &joined.end.epoch)),
            _ => None,
        })
        .collect();
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    for outage in &history.outages {
        *faults.entry(&outage.what).or_default() += 1;
    }
    let faults: Vec<String> = faults.iter().map(|(kind, many)| format!("{many} {kind}")).collect();
    format!(
        "{} messages live, {} directs, {} signals, {acks} acks, {duplicates} duplicates, \
         {} conflicts, {} unavailable, {} connections, {} joins, {} epochs; faults: {}; presence \
         right {:.1} s after the last",
        count(|it| matches!(it, Event::Live { .. })),
        count(|it| matches!(it, Event::Direct { .. })),
        count(|it| matches!(it, Event::Signal { .. } | Event::Typing { .. })),
        count(|it| matches!(it, Event::Conflict { .. })),
        count(|it| matches!(it, Event::Unavailable { .. })),
        count(|it| matches!(it, Event::Connected { .. })),
        count(|it| matches!(it, Event::Joined { .. })),
        epochs.len(),
        faults.join(", "),
        outcome.presence.as_secs_f64(),
    )
}

#[tokio::test]
async fn alone() {
    check("alone", Setup { redis: false, nodes: 1, ..CLUSTER }, 4).await;
}

#[tokio::test]
async fn alone_durable() {
    check("alone_durable", Setup { redis: false, nodes: 1, durable: true, ..CLUSTER }, 8).await;
}

#[tokio::test]
async fn alone_two_workers() {
    check("alone_two_workers", SMALL_ROOMS, 5).await;
}

#[tokio::test]
async fn alone_four_workers() {
    check("alone_four_workers", Setup { workers: 4, ..SMALL_ROOMS }, 5).await;
}

#[tokio::test]
async fn alone_durable_two_workers() {
    check("alone_durable_two_workers", Setup { durable: true, ..SMALL_ROOMS }, 5).await;
}

#[tokio::test]
async fn alone_durable_four_workers() {
    let setup = Setup { durable: true, workers: 4, ..SMALL_ROOMS };
    check("alone_durable_four_workers", setup, 5).await;
}

#[tokio::test]
async fn alone_losing_logs() {
    let setup = Setup { redis: false, nodes: 1, losing: true, ..CLUSTER };
    check("alone_losing_logs", setup, 6).await;
}

#[tokio::test]
async fn cluster() {
    check("cluster", CLUSTER, 12).await;
}

#[tokio::test]
async fn cluster_losing_logs() {
    check("cluster_losing_logs", Setup { losing: true, ..CLUSTER }, 8).await;
}
