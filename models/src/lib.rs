//! Model checks of the code in Rookery that coordinates threads and tasks.
//!
//! `tests/exhaustive` tries every schedule of a few steps with loom, weak memory
//! orderings included. `tests/random` tries many random schedules of longer runs with
//! shuttle. Both include the server's own source files and replace the server's
//! `crate::sync` by the primitives of the checker, so the checked code is the code
//! that runs. `docs/internals/concurrency.md` lists what each check covers.
