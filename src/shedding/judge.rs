use std::time::{Duration, Instant};

use super::{Cause, Shedding};
use crate::{
    config::{self, MemoryLimit},
    process,
};

/// A late worker is to be in time for so long before it counts as well again.
const HOLD: Duration = Duration::from_secs(2);

/// How a process is at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// How many connections the node has.
    pub connections: usize,
    /// File descriptors that are open, and how many may be.
    pub files: Option<(u64, u64)>,
    /// Bytes of memory in use.
    pub resident: Option<u64>,
    /// How late the worker was that was latest.
    pub delay: Duration,
}

/// Decides when load is shed, but for connections, which the registry counts. It
/// knows no clock: the time is an argument.
#[derive(Debug)]
pub struct Judge {
    open_files: u8,
    memory: Option<u64>,
    delay: Duration,
    /// Since when no worker was late.
    in_time_since: Option<Instant>,
}

impl Judge {
    /// Judges by these settings.
    pub fn new(settings: &config::Shedding) -> Self {
        let memory = match settings.memory {
            MemoryLimit::Auto => process::allowed_memory().map(|allowed| allowed / 10 * 9),
            MemoryLimit::Off => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
        };
        let delay = settings.worker_delay;
        Self { open_files: settings.open_files, memory, delay, in_time_since: None }
    }

    /// At how many bytes of memory load is shed, if at any.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Decides anew.
    pub fn judge(&mut self, reading: &Reading, shedding: &Shedding, now: Instant) {
        if let Some((open, allowed)) = reading.files {
            let most = u128::from(allowed) * u128::from(self.open_files) / 100;
            let most = u64::try_from(most).unwrap_or(allowed);
            let left = usize::try_from(most.saturating_sub(open)).unwrap_or(usize::MAX);
            shedding.set_connections_by_files(reading.connections.saturating_add(left));
            hold(shedding, Cause::OpenFiles, open, most);
        }
        if let (Some(resident), Some(most)) = (reading.resident, self.memory) {
            hold(shedding, Cause::Memory, resident, most);
        }
        if !self.delay.is_zero() {
            self.judge_delay(reading.delay, shedding, now);
        }
    }

    fn judge_delay(&mut self, delay: Duration, shedding: &Shedding, now: Instant) {
        if delay >= self.delay {
            shedding.set(Cause::WorkerDelay, true);
        }
        if delay > self.delay / 2 {
            self.in_time_since = None;
        } else if now - *self.in_time_since.get_or_insert(now) >= HOLD {
            shedding.set(Cause::WorkerDelay, false);
        }
    }
}

/// Begins at `most`, and ends a twentieth below it.
fn hold(shedding: &Shedding, cause: Cause, value: u64, most: u64) {
    if value >= most {
        shedding.set(cause, true);
    } else if value < most - most / 20 {
        shedding.set(cause, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Judge {
        Judge::new(&config::Settings::from_toml(text).unwrap().shedding)
    }

    /// The causes after each of these readings, half a second from one to the next.
    fn causes(judge: &mut Judge, readings: &[Reading]) -> Vec<Vec<&'static str>> {
        let (shedding, start) = (Shedding::default(), Instant::now());
        let each = readings.iter().zip(0..).map(|(reading, number)| {
            judge.judge(reading, &shedding, start + Duration::from_millis(500 * number));
            shedding.causes().map(Cause::word).collect()
        });
        each.collect()
    }

    #[test]
    fn memory_has_to_fall_by_a_twentieth() {
        let mut judge = judge("shedding.memory = \"100 MiB\"");
        let at = |mebibytes: u64| Reading { resident: Some(mebibytes << 20), ..Reading::default() };
        let readings = [99, 100, 99, 96, 95, 94, 99].map(at);
        let none = Vec::<&str>::new();
        let sheds = vec!["memory"];
        assert_eq!(
            causes(&mut judge, &readings),
            [&none, &sheds, &sheds, &sheds, &sheds, &none, &none].map(Clone::clone)
        );
        assert_eq!(causes(&mut self::judge("shedding.memory = \"off\""), &[at(1 << 20)]), [none]);
    }

    #[test]
    fn each_connection_counts_for_a_file_until_the_next_look() {
        let (mut judge, shedding) = (judge("shedding.open_files = \"90%\""), Shedding::default());
        let mut look = |open, connections| {
            let reading = Reading { files: Some((open, 1000)), connections, ..Reading::default() };
            judge.judge(&reading, &shedding, Instant::now());
        };
        look(890, 800);
        assert_eq!(shedding.refuses_connection(809), None);
        assert_eq!(shedding.refuses_connection(810), Some(Cause::OpenFiles));
        assert_eq!(shedding.causes().count(), 0);
        look(900, 810);
        assert_eq!(shedding.causes().collect::<Vec<_>>(), [Cause::OpenFiles]);
        look(856, 766);
        assert_eq!(shedding.refuses_connection(766), Some(Cause::OpenFiles), "not yet");
        look(854, 764);
        assert_eq!(shedding.refuses_connection(764), None);
        assert_eq!(shedding.refuses_write(), None);
    }

    #[test]
    fn a_late_worker_has_to_be_in_time_for_a_while() {
        let late = |millis| Reading { delay: Duration::from_millis(millis), ..Reading::default() };
        let readings = [300, 500, 10, 10, 300, 10, 200, 10, 10, 10, 499].map(late);
        let mut judge = judge("shedding.worker_delay = \"500ms\"");
        let sheds: Vec<bool> =
            causes(&mut judge, &readings).iter().map(|it| !it.is_empty()).collect();
        let (yes, no) = (true, false);
        assert_eq!(sheds, [no, yes, yes, yes, yes, yes, yes, yes, yes, no, no]);
        let mut never = self::judge("shedding.worker_delay = \"0s\"");
        assert_eq!(causes(&mut never, &[late(60_000)]), [Vec::<&str>::new()]);
    }
}
