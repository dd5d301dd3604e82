//! What the command line asks for.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, value_parser};
use rookery::{
    config::Secret,
    demo::Address,
    model::{Grants, RoomName, UserId},
};
use serde_json::value::RawValue;

/// A real-time server: chat rooms, presence and shared state over WebSockets.
#[derive(Debug, Parser)]
#[command(name = "rookery", version)]
pub(crate) struct Arguments {
    /// The configuration [default: config.toml, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Check the configuration and print what is in effect, secrets hidden
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a token signed with auth.secret
    Token(Token),
    /// Play clients that show what a running server can do
    #[command(subcommand)]
    Demo(Demo),
    /// Ask the server that runs with this configuration how it is; fails where
    /// the answer is not 200
    Probe(Probe),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// Play a fleet of agents for the page agents.html, until Ctrl-C
    Agents(Agents),
}

#[derive(Debug, Args)]
pub(crate) struct Agents {
    /// Where the server is
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080")]
    pub(crate) url: Address,
    /// How many agents, each with a connection of its own
    #[arg(long, value_name = "N", default_value = "500", value_parser = value_parser!(u16).range(1..=1_000))]
    pub(crate) agents: u16,
    /// How often a second each of them writes its state, up to 40
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate)]
    pub(crate) rate: f64,
    /// The room they write it into
    #[arg(long, default_value = "agents:demo", value_parser = RoomName::parse)]
    pub(crate) room: RoomName,
    /// No agent dies, and none falls silent
    #[arg(long)]
    pub(crate) steady: bool,
    /// For how long [default: until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) time: Option<Duration>,
    /// What the server's tokens are signed with [default: auth.secret; without it they are guests]
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    pub(crate) secret: Option<Secret>,
}

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// /healthz: it works; /readyz: it takes new clients
    #[arg(value_name = "PATH", default_value = "/healthz", value_parser = ["/healthz", "/readyz"])]
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The user it stands for
    #[arg(long, value_name = "USER", value_parser = UserId::parse)]
    pub(crate) sub: UserId,
    /// The display name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How long it holds
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Duration,
    /// What it allows, such as {"lobby": ["join", "publish"]}
    #[arg(long, value_name = "JSON", value_parser = json::<Grants>)]
    pub(crate) grants: Option<Grants>,
    /// Whom it is for [default: the first of auth.audience]
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) aud: Option<String>,
    /// Whom it is from [default: the first of auth.issuer]
    #[arg(long, value_name = "ISSUER")]
    pub(crate) iss: Option<String>,
    /// What others see of the user, at most 1 KiB
    #[arg(long, value_name = "JSON", value_parser = json::<Box<RawValue>>)]
    pub(crate) meta: Option<Box<RawValue>>,
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// A rate that stays below what a server allows one session, events included.
fn rate(text: &str) -> Result<f64, &'static str> {
    const EXPECTED: &str = "expected a number from 0.1 to 40";
    let rate = text.parse().map_err(|_| EXPECTED)?;
    if (0.1..=40.0).contains(&rate) { Ok(rate) } else { Err(EXPECTED) }
}

fn secret(text: &str) -> Result<Secret, &'static str> {
    if text.is_empty() { Err("expected the secret itself") } else { Ok(Secret::new(text)) }
}
