//! What an agent of the fleet does all day: tasks that are taken up, wait for
//! something, are finished or fail. It knows no clock and no connection: it is
//! told how much time has passed.

use std::time::Duration;

use serde::Serialize;

use crate::demo::random::Random;

const BIRDS: [&str; 24] = [
    "Avocet",
    "Bittern",
    "Crane",
    "Dunlin",
    "Egret",
    "Fulmar",
    "Gannet",
    "Heron",
    "Ibis",
    "Jackdaw",
    "Kestrel",
    "Lapwing",
    "Merlin",
    "Nightjar",
    "Osprey",
    "Plover",
    "Quail",
    "Raven",
    "Siskin",
    "Teal",
    "Umbrette",
    "Vireo",
    "Wren",
    "Yellowhammer",
];

/// What agents are there for, and what a task of theirs is called.
const ROLES: [(&str, &str); 8] = [
    ("support", "Ticket"),
    ("billing", "Invoice"),
    ("research", "Report"),
    ("review", "Change"),
    ("crawler", "Site"),
    ("translation", "Document"),
    ("triage", "Incident"),
    ("planning", "Route"),
];

/// How a task may fail.
const FAILURES: [&str; 5] = [
    "the tool did not answer in time",
    "the answer was not JSON",
    "the budget of the task is used up",
    "a page was not found",
    "too many requests",
];

/// What a token costs on average, in dollars.
const TOKEN_COST: f64 = 0.000_006;

/// How fast the speed of an agent follows what its task allows, per second.
const INERTIA: f64 = 1.5;

/// What an agent is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Idle,
    Working,
    /// For a tool, or for somebody.
    Waiting,
    /// A task failed; the next one comes after a while.
    Error,
    /// The fleet ended.
    Stopped,
}

/// The value that an agent writes under its key.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct State<'a> {
    /// Marks it as one that the next fleet may take away.
    demo: bool,
    name: &'a str,
    role: &'a str,
    status: Status,
    task: Option<&'a str>,
    /// Tokens a second, as of now.
    throughput: f64,
    /// Tokens so far.
    tokens: u64,
    /// Dollars so far.
    cost: f64,
    /// Tasks finished.
    tasks: u32,
    /// Tasks failed.
    errors: u32,
    /// When this was written, in milliseconds since the Unix epoch.
    at: u64,
}

/// What an agent publishes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    pub(super) event: &'static str,
    pub(super) agent: String,
    pub(super) name: String,
    pub(super) task: String,
    /// What the task took so far, in seconds.
    pub(super) seconds: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
}

/// What becomes of an agent's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Lives,
    /// It vanishes without a goodbye, and comes back after so long.
    Dies(Duration),
    /// It stays, and says nothing for so long.
    Stalls(Duration),
}

/// One agent's work.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: String,
    role: &'static str,
    task_kind: &'static str,
    random: Random,
    status: Status,
    /// Seconds that the status goes on for.
    left: f64,
    task: Option<String>,
    /// Seconds since the task was taken up.
    taken: f64,
    /// Tokens a second that the task allows.
    pace: f64,
    throughput: f64,
    tokens: f64,
    cost: f64,
    tasks: u32,
    errors: u32,
}

impl Work {
    /// The agent of this number, counted from 0.
    pub(super) fn new(number: usize, seed: u64) -> Self {
        let mut random = Random::new(seed ^ (number as u64).wrapping_mul(0xa076_1d64_78bd_642f));
        let bird = BIRDS.get(number % BIRDS.len()).copied().unwrap_or_default();
        let (role, task_kind) = random.one_of(&ROLES);
        let left = random.between(0.0, 8.0);
        Self {
            name: format!("{bird} {}", number / BIRDS.len() + 1),
            role,
            task_kind,
            random,
            status: Status::Idle,
            left,
            task: None,
            taken: 0.0,
            pace: 0.0,
            throughput: 0.0,
            tokens: 0.0,
            cost: 0.0,
            tasks: 0,
            errors: 0,
        }
    }

    /// What is to be seen of it at this time.
    pub(super) fn state(&self, at: u64) -> State<'_> {
        let rounded = |value: f64, digits: f64| (value * digits).round() / digits;
        State {
            demo: true,
            name: &self.name,
            role: self.role,
            status: self.status,
            task: self.task.as_deref(),
            throughput: rounded(self.throughput, 10.0),
            tokens: self.tokens as u64,
            cost: rounded(self.cost, 10_000.0),
            tasks: self.tasks,
            errors: self.errors,
            at,
        }
    }

    /// So much time has passed: what there is to report of it.
    pub(super) fn goes_on(&mut self, time: Duration, agent: &str) -> Option<Report> {
        let seconds = time.as_secs_f64();
        let pace = if self.status == Status::Working { self.pace } else { 0.0 };
        let noise = self.random.between(-0.25, 0.25) * pace * seconds.sqrt();
        let step = (pace - self.throughput) * (1.0 - (-INERTIA * seconds).exp()) + noise;
        self.throughput = (self.throughput + step).max(0.0);
        if pace == 0.0 && self.throughput < 0.5 {
            self.throughput = 0.0;
        }
        self.tokens += self.throughput * seconds;
        self.cost += self.throughput * seconds * TOKEN_COST * self.random.between(0.5, 1.5);
        self.taken += seconds;
        self.left -= seconds;
        if self.left > 0.0 { None } else { self.turn(agent) }
    }

    /// The fleet ends.
    pub(super) fn stop(&mut self) {
        (self.status, self.task, self.throughput) = (Status::Stopped, None, 0.0);
    }

    /// What happens to it in the next `time`.
    pub(super) fn fate(&mut self, time: Duration) -> Fate {
        let minutes = time.as_secs_f64() / 60.0;
        if self.random.chance(minutes / 12.0) {
            Fate::Dies(Duration::from_secs_f64(self.random.between(6.0, 25.0)))
        } else if self.random.chance(minutes / 40.0) {
            Fate::Stalls(Duration::from_secs_f64(self.random.between(15.0, 40.0)))
        } else {
            Fate::Lives
        }
    }

    /// The status is over: the next one begins.
    fn turn(&mut self, agent: &str) -> Option<Report> {
        match self.status {
            Status::Idle | Status::Error | Status::Stopped => {
                let number = 1_000 + self.random.below(9_000);
                self.task = Some(format!("{} {number}", self.task_kind));
                self.taken = 0.0;
                self.pace = self.random.between(20.0, 90.0);
                // Some tasks are bursts.
                if self.random.chance(0.12) {
                    self.pace *= 3.0;
                }
                self.begin(Status::Working, 14.0);
                Some(self.report("task_started", agent, None))
            }
            Status::Waiting => {
                self.begin(Status::Working, 14.0);
                None
            }
            Status::Working if self.random.chance(0.45) => {
                self.begin(Status::Waiting, 4.0);
                None
            }
            Status::Working if self.random.chance(0.09) => {
                self.errors += 1;
                let reason = self.random.one_of(&FAILURES);
                let report = self.report("task_failed", agent, Some(reason));
                self.task = None;
                self.begin(Status::Error, 5.0);
                Some(report)
            }
            Status::Working => {
                self.tasks += 1;
                let report = self.report("task_finished", agent, None);
                self.task = None;
                self.begin(Status::Idle, 8.0);
                Some(report)
            }
        }
    }

    /// Statuses last for so many seconds on average, some far longer.
    fn begin(&mut self, status: Status, seconds: f64) {
        self.status = status;
        self.left = 0.3 - seconds * self.random.between(f64::EPSILON, 1.0).ln();
    }

    fn report(&self, event: &'static str, agent: &str, reason: Option<&'static str>) -> Report {
        Report {
            event,
            agent: agent.to_owned(),
            name: self.name.clone(),
            task: self.task.clone().unwrap_or_default(),
            seconds: (self.taken * 10.0).round() / 10.0,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn an_hour_of_work_is_as_plausible_as_it_is_consistent() {
        let mut work = Work::new(3, 1);
        let mut open = None;
        let (mut finished, mut failed, mut last) = (0, 0, 0);
        let mut statuses = BTreeSet::new();
        for _ in 0..36_000 {
            if let Some(report) = work.goes_on(TICK, "crane-1") {
                assert_eq!(report.agent, "crane-1");
                match report.event {
                    "task_started" => assert_eq!(open.replace(report.task), None),
                    "task_finished" => {
                        finished += 1;
                        assert_eq!(open.take(), Some(report.task));
                    }
                    "task_failed" => {
                        failed += 1;
                        assert_eq!(open.take(), Some(report.task));
                        assert!(report.reason.is_some());
                    }
                    other => panic!("{other}"),
                }
            }
            let state = work.state(0);
            assert_eq!(state.task, open.as_deref());
            assert!(state.tokens >= last && state.throughput >= 0.0, "{state:?}");
            assert!(state.throughput < 1_000.0, "{state:?}");
            last = state.tokens;
            statuses.insert(format!("{:?}", state.status));
        }
        let state = work.state(0);
        assert_eq!((state.tasks, state.errors), (finished, failed));
        assert!(finished > 40 && failed > 0, "{state:?}");
        assert!(state.tokens > 20_000 && state.cost > 0.05, "{state:?}");
        assert_eq!(Vec::from_iter(statuses), ["Error", "Idle", "Waiting", "Working"]);
    }

    #[test]
    fn names_are_different_and_deaths_are_rare() {
        let names: BTreeSet<_> = (0..500).map(|number| Work::new(number, 1).name).collect();
        assert_eq!(names.len(), 500);
        let mut work = Work::new(0, 1);
        let fates: Vec<_> = (0..360_000).map(|_| work.fate(TICK)).collect();
        let deaths = fates.iter().filter(|fate| matches!(fate, Fate::Dies(_))).count();
        assert!((10..200).contains(&deaths), "{deaths} deaths in ten hours");
        assert!(fates.iter().any(|fate| matches!(fate, Fate::Stalls(_))));
    }

    #[test]
    fn a_stopped_agent_does_nothing() {
        let mut work = Work::new(0, 1);
        for _ in 0..200 {
            work.goes_on(TICK, "a");
        }
        work.stop();
        let json = serde_json::to_value(work.state(5)).unwrap();
        assert_eq!(json["status"], "stopped");
        assert_eq!((&json["throughput"], &json["task"]), (&0.0.into(), &serde_json::Value::Null));
        assert_eq!((&json["at"], &json["demo"]), (&5.into(), &true.into()));
    }
}
