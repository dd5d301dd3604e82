use std::cell::Cell;

/// Stops the reading of a client that asks faster than it is answered. TCP then
/// makes the client wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    full: Cell<bool>,
    congested: Cell<bool>,
}

impl Gate {
    /// Whether nothing is to be read now.
    pub(super) fn is_shut(&self) -> bool {
        self.full.get() || self.congested.get()
    }

    /// As many requests wait as may.
    pub(super) fn set_full(&self, full: bool) {
        self.full.set(full);
    }

    /// The client has to read its answers first.
    pub(super) fn set_congested(&self, congested: bool) {
        self.congested.set(congested);
    }

    /// Whether somebody waits for the client to have read its answers.
    pub(super) fn is_congested(&self) -> bool {
        self.congested.get()
    }
}
