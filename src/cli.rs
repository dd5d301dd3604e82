//! What the command line asks for.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use rookery::model::{Grants, UserId};
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
