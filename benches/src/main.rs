//! Measures a Rookery server beside the bare write loop that is its physical
//! floor; see `docs/benchmarks.md`.
//!
//! In reading order:
//!
//! - [`arguments`]: the command line
//! - [`frames`], [`stamp`], [`chat`], [`token`]: bytes of a client
//! - [`clients`], [`swarm`], [`drain`]: thousands of clients on one thread
//! - [`floor`]: the bare write loop
//! - [`cores`], [`process`], [`target`]: what is measured, where it runs, what it takes
//! - [`redis`]: a Redis of its own, and a plain client of it
//! - [`scenario`]: what is done to it
//! - [`latency`], [`report`]: what came out

mod arguments;
mod chat;
mod clients;
mod cores;
mod drain;
mod floor;
mod frames;
mod latency;
mod process;
mod redis;
mod report;
mod scenario;
mod stamp;
mod swarm;
mod target;
mod token;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    arguments::{Arguments, Command},
    cores::Cores,
};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rookery-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    cores::raise_open_files()?;
    if let Some(Command::Floor { batched }) = arguments.command {
        return floor::serve(batched);
    }
    let cores = Cores::choose(&arguments.server_cores, arguments.generator_core)?;
    let reports = scenario::run_all(arguments, &cores)?;
    if arguments.json {
        report::print_json(&cores, arguments, &reports)?;
    }
    Ok(())
}
