use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// What the fleet has done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connected: Cell<usize>,
    /// Agents that play dead.
    pub(super) away: Cell<usize>,
    pub(super) updates: Cell<u64>,
    pub(super) events: Cell<u64>,
    /// Connections that were lost, or did not come about.
    pub(super) failures: Cell<u64>,
    /// Why the last one was.
    pub(super) trouble: RefCell<Option<String>>,
}

/// Counts as long as it lives.
pub(super) struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    pub(super) fn new(cell: &'a Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Tally {
    pub(super) fn failed(&self, why: &impl ToString) {
        self.failures.set(self.failures.get() + 1);
        self.trouble.replace(Some(why.to_string()));
    }

    /// A line about the time since the last one, in which there were so many
    /// updates.
    pub(super) fn line(&self, agents: usize, run: Duration, updates_per_second: f64) -> String {
        let mut line = format!(
            "{:>4} s  {} of {agents} agents  {updates_per_second:.0} updates/s  {} events  {} away",
            run.as_secs(),
            self.connected.get(),
            self.events.get(),
            self.away.get(),
        );
        if let Some(trouble) = self.trouble.take() {
            line.push_str("  ");
            line.push_str(&trouble);
        }
        line
    }

    /// The last line.
    pub(super) fn sum(&self, agents: usize, run: Duration) -> String {
        format!(
            "{agents} agents, {} updates, {} events, {} lost connections in {:.1} s",
            self.updates.get(),
            self.events.get(),
            self.failures.get(),
            run.as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once() {
        let tally = Tally::default();
        let counted = Counted::new(&tally.connected);
        tally.failed(&"no connection");
        let line = |tally: &Tally| tally.line(3, Duration::from_secs(2), 19.6);
        assert_eq!(
            line(&tally),
            "   2 s  1 of 3 agents  20 updates/s  0 events  0 away  no connection"
        );
        drop(counted);
        assert_eq!(line(&tally), "   2 s  0 of 3 agents  20 updates/s  0 events  0 away");
        assert!(tally.sum(3, Duration::from_secs(2)).contains("1 lost connections in 2.0 s"));
    }
}
