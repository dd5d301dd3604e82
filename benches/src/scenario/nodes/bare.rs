//! What Redis takes without a server: the least that a message between two nodes
//! can add.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{super::Setting, RATE, figures, times};
use crate::{latency::Latencies, redis::Redis, report::Report, swarm::nanos};

/// What the others are compared with.
pub(super) const TOGETHER: &str = "Redis alone: script and push together";

/// The commands that the servers' script runs for a message, and nothing else.
const SCRIPT: &str = "
redis.call('HMGET', KEYS[1], 'epoch', 'born', 'seq', 'floor', 'bytes', 'oldest', 'clock', 'state', 'seen')
redis.call('TIME')
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000', '*', 't', '1767225600000', 'd', ARGV[1])
redis.call('HSET', KEYS[1], 'seq', '1', 'bytes', '1', 'oldest', '1', 'clock', '1', 'state', '0')
redis.call('PTTL', KEYS[2])
redis.call('PTTL', KEYS[1])
return redis.call('PUBLISH', 'nobody', ARGV[1])";

/// About as long as what is handed from node to node for a text of 128 bytes.
const LENGTH: usize = 200;

/// One after the other, as often as messages come otherwise: a round trip of
/// `PING`, one of a script, and a `PUBLISH` until it is pushed to a subscriber.
pub(super) fn measure(setting: &Setting<'_>, report: &mut Report) -> anyhow::Result<()> {
    let redis = Redis::start(setting.cores)?;
    // As near to Redis as the nodes are.
    setting.cores.enter_servers()?;
    let measured = samples(&redis, setting.seconds(4.0));
    setting.cores.enter_generator()?;
    for (row, mut latencies) in measured? {
        report.add(row, figures(times(&mut latencies)));
    }
    Ok(())
}

fn samples(redis: &Redis, time: Duration) -> anyhow::Result<[(&'static str, Latencies); 4]> {
    let (mut commands, mut subscriber) = (redis.client()?, redis.client()?);
    subscriber.command(&["SUBSCRIBE", "channel"])?;
    let hash = commands.command(&["SCRIPT", "LOAD", SCRIPT])?;
    let payload = "x".repeat(LENGTH);
    let mut all = [
        ("Redis alone: PING", Latencies::default()),
        ("Redis alone: script", Latencies::default()),
        ("Redis alone: push", Latencies::default()),
        (TOGETHER, Latencies::default()),
    ];
    let period = Duration::from_secs_f64(1.0 / RATE);
    let began = Instant::now();
    let mut due = began;
    while began.elapsed() < time {
        due += period;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        commands.command(&["EVALSHA", &hash, "2", "meta", "log", &payload])?;
        let script = start.elapsed();
        let start = Instant::now();
        commands.send(&["PUBLISH", "channel", &payload])?;
        let pushed = subscriber.answer()?;
        let push = start.elapsed();
        ensure!(pushed.ends_with(&payload), "Redis pushes {pushed:?}");
        commands.answer()?;
        // Half a period later, so that it too finds Redis idle.
        thread::sleep(period / 2);
        let start = Instant::now();
        commands.command(&["PING"])?;
        let ping = start.elapsed();
        for ((_, latencies), taken) in all.iter_mut().zip([ping, script, push, script + push]) {
            latencies.note(nanos(taken));
        }
    }
    Ok(all)
}
