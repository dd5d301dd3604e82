use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Spaces the attempts to connect of all clients of this process out, so that
/// together they stay within what a server allows one address.
#[derive(Debug)]
pub(super) struct Gate {
    gap: Duration,
    next: Cell<Option<Instant>>,
}

impl Gate {
    pub(super) fn new(attempts_per_second: u32) -> Self {
        Self { gap: Duration::from_secs(1) / attempts_per_second.max(1), next: Cell::new(None) }
    }

    /// Waits for the turn of so many attempts that follow one another.
    pub(super) async fn pass(&self, attempts: u32) {
        tokio::time::sleep(self.turn(attempts, Instant::now())).await;
    }

    /// How long the attempts that are asked for now have to wait.
    fn turn(&self, attempts: u32, now: Instant) -> Duration {
        let at = self.next.get().map_or(now, |next| next.max(now));
        self.next.set(Some(at + self.gap * attempts));
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spaced_out_and_a_pause_saves_none_up() {
        let gate = Gate::new(10);
        let start = Instant::now();
        let millis = |n, at| gate.turn(n, start + Duration::from_millis(at)).as_millis();
        assert_eq!([millis(1, 0), millis(2, 0), millis(1, 50)], [0, 100, 250]);
        assert_eq!([millis(1, 10_000), millis(1, 10_000)], [0, 100]);
    }
}
