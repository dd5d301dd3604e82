use std::time::{Duration, Instant};

use actix_web::rt;
use log::{info, warn};

use super::{Cause, Judge, Reading, Shedding};
use crate::process;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Looks again and again how the process is, and has it judged. `look` knows how many
/// connections there are, and how late the worker was that was latest since it was last
/// asked.
pub async fn watch(
    mut judge: Judge,
    shedding: &Shedding,
    look: impl Fn(Instant) -> (usize, Duration),
) {
    if let Some(bytes) = judge.memory() {
        info!("load is shed at {} MiB of memory", bytes >> 20);
    }
    let mut tick = rt::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = Vec::new();
    loop {
        tick.tick().await;
        // Where the kernel does not know the number of files, counting them takes a
        // while, and this is the thread of presence.
        let read = rt::task::spawn_blocking(|| {
            let files = process::open_descriptors().zip(process::allowed_descriptors());
            (files, process::resident_bytes())
        });
        let (files, resident) = read.await.unwrap_or_default();
        let now = Instant::now();
        let (connections, delay) = look(now);
        judge.judge(&Reading { connections, files, resident, delay }, shedding, now);
        let causes: Vec<Cause> = shedding.causes().collect();
        if causes != told {
            tell(&causes, connections, resident, delay);
            told = causes;
        }
    }
}

fn tell(causes: &[Cause], connections: usize, resident: Option<u64>, delay: Duration) {
    if causes.is_empty() {
        return info!("load is not shed any more");
    }
    let causes: Vec<&str> = causes.iter().map(|cause| cause.word()).collect();
    warn!(
        "load is shed, for: {}; {connections} connections, {} MiB of memory, a worker late by {delay:.1?}",
        causes.join(", "),
        resident.unwrap_or_default() >> 20,
    );
}
