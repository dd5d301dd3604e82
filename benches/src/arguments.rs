//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a Rookery server beside a bare write loop.
#[derive(Debug, Parser)]
#[command(name = "rookery-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// What to run; all of it where nothing is named
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<Name>,

    /// How often each target is measured; the figures are medians
    #[arg(long, value_name = "N")]
    pub(crate) repeats: Option<usize>,

    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,

    /// A server to measure; several are measured side by side
    #[arg(long = "server", value_name = "PATH", default_value = "target/release/rookery")]
    pub(crate) servers: Vec<PathBuf>,

    /// A setting of the servers, as in ROOKERY__OUTBOUND__COALESCE=20ms
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Worker threads of the servers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) workers: usize,

    /// The cores the servers run on; the first one where none is named
    #[arg(long, value_name = "CORE", value_delimiter = ',')]
    pub(crate) server_cores: Vec<usize>,

    /// The core this generator runs on; the last one where none is named
    #[arg(long, value_name = "CORE")]
    pub(crate) generator_core: Option<usize>,

    /// Members of the room of `fanout` and `inflight`
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) members: usize,

    /// Messages a second to each room, for `fanout` and `rooms`
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub(crate) rate: f64,

    /// Measure the servers alone
    #[arg(long)]
    pub(crate) no_floor: bool,

    /// Print all figures as JSON on standard output; the tables go to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// What this program does besides measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be the bare write loop
    #[command(hide = true)]
    Floor {
        /// One write for all frames that arrived together
        #[arg(long)]
        batched: bool,
    },
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// One room, paced
    Fanout,
    /// 1,000 clients in rooms of ten, paced
    Rooms,
    /// What is sent comes back, closed loop
    Echo,
    /// One room, closed loop with 1, 8 and 64 messages in flight
    Inflight,
    /// The same with one worker and with two
    Workers,
    /// What a second node and Redis between them add
    Nodes,
    /// Messages published by two nodes, beside `redis-benchmark` with their script
    Publish,
    /// Memory of 5,000 idle connections, in no room and in one each
    Idle,
    /// Memory and CPU of 15,000 idle connections with heartbeats
    Idle15k,
    /// Connections a second, each with a token
    Storm,
    /// Chat, signals at 30 Hz and shared state in one room
    Mixed,
    /// 500 agents that write ten values a second each, and 200 that look on
    Dashboard,
}
