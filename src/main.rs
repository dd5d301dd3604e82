//! The program: arguments → settings → logger → application → run until a
//! signal.

mod cli;
mod probe;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use rookery::{
    app::Application,
    auth::{Minter, NewToken, Verifier},
    config::{Auth, ConfigError, Layers, Settings},
    demo::{self, Credentials},
    logging,
    model::wall_clock,
    net::Certificate,
};

use cli::{Agents, Arguments, Command, Demo, Token};

/// A connection takes and gives back memory some hundred times before it is there:
/// with the system's allocator that was a fifth of what it cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something went wrong while running.
const FAILED: u8 = 1;

/// The configuration cannot be used; the command line's own errors exit with
/// the same.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rookery: {error:#}");
            ExitCode::from(if error.is::<ConfigError>() { MISCONFIGURED } else { FAILED })
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let layers = Layers::read(arguments.config.as_deref())?;
    let settings = layers.settings()?;
    if arguments.check {
        Verifier::new(&settings.auth)?;
        Certificate::load(&settings.tls)?;
        return print(layers.to_toml()?.trim_end());
    }
    match &arguments.command {
        Some(Command::Token(token)) => print(&signed(token, &settings.auth)?),
        Some(Command::Demo(Demo::Agents(fleet))) => play(fleet, settings.auth),
        Some(Command::Probe(asked)) => print(&probe::probe(&settings, &asked.path)?),
        None => serve(settings),
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    logging::start(&settings.log);
    raise_open_files();
    actix_web::rt::System::new()
        .block_on(async { Application::build(settings).await?.run_until_stopped().await })
}

/// Plays a fleet whose tokens are signed with the secret, where one is known.
fn play(fleet: &Agents, mut auth: Auth) -> anyhow::Result<()> {
    raise_open_files();
    auth.secret = fleet.secret.clone().or(auth.secret);
    let credentials = match auth.secret {
        Some(_) => Credentials::Signed(Box::new(Minter::new(&auth)?)),
        None => Credentials::Guests,
    };
    let options = demo::agents::Options {
        server: fleet.url.clone(),
        room: fleet.room.clone(),
        agents: fleet.agents.into(),
        rate: fleet.rate,
        steady: fleet.steady,
        time: fleet.time,
    };
    actix_web::rt::System::new().block_on(demo::agents::play(options, credentials))
}

/// For so many open files there is room from the start: half a megabyte of the
/// kernel's memory.
const OPEN_FILES: u64 = 65_536;

/// Every connection is an open file, and the soft limit is often 1,024.
fn raise_open_files() {
    let raised = rlimit::Resource::NOFILE
        .get()
        .and_then(|(_, hard)| Ok((rlimit::increase_nofile_limit(hard)?, hard)));
    match raised {
        Ok((soft, hard)) => {
            log::info!("open files: {soft} allowed, {hard} at most");
            make_room(soft.min(OPEN_FILES));
        }
        Err(error) => log::warn!("the limit of open files could not be raised: {error}"),
    }
}

/// Brings the kernel's table of open files to its size. It grows by doubling, and in
/// a process of several threads each growth takes a grace period of RCU, 10 ms and
/// more, in which nothing is accepted. So it is called while there is one thread.
fn make_room(files: u64) {
    let last = i32::try_from(files.saturating_sub(1)).unwrap_or(i32::MAX);
    // A file of this number makes the room, which stays when it is closed.
    if let Err(error) = rustix::io::fcntl_dupfd_cloexec(io::stderr(), last) {
        log::debug!("no room for {files} open files was made: {error}");
    }
}

/// A token that the server with these settings accepts.
fn signed(token: &Token, settings: &Auth) -> anyhow::Result<String> {
    let now = wall_clock();
    let signed = Minter::new(settings)?.mint(
        &NewToken {
            sub: &token.sub,
            ttl: token.ttl,
            name: token.name.as_deref(),
            audience: token.aud.as_deref(),
            issuer: token.iss.as_deref(),
            grants: token.grants.as_ref(),
            meta: token.meta.as_deref(),
            guest: false,
        },
        now,
    )?;
    Verifier::new(settings)?.verify(&signed, now).context("the server would refuse the token")?;
    Ok(signed)
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}
