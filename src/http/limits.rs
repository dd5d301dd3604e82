//! How much one call may ask for, where both the call and its description say so.

/// To so many rooms one message goes at most.
pub(super) const MOST_ROOMS: usize = 100;

/// So many commands are in one batch at most.
pub(super) const MOST_COMMANDS: usize = 100;
