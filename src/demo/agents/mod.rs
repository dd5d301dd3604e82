//! `rookery demo agents`: a fleet of agents, each a user with a connection of
//! its own.
//!
//! An agent writes its state with `set` into a room, under its user id. What
//! happens to it goes as an event into a second room, of the same name with
//! `/events` behind it: the states would push events out of the log within a
//! second. Agents join both to write alone, so that nobody tells 500 agents
//! what 500 agents do.

mod agent;
mod tally;
mod work;

use std::{
    cell::RefCell,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::future::join_all;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{interval, sleep, timeout},
};

use self::{agent::Agent, tally::Tally};
use super::{
    Address, Credentials,
    gate::Gate,
    request,
    socket::{Ask, Ended, Put, Socket, Told},
};
use crate::model::RoomName;

/// Attempts to connect a second, of which a server allows 100 to an address: so
/// there is room for whoever watches.
const ATTEMPTS_PER_SECOND: u32 = 80;

/// How long a server may take to say what is in the room.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many users are asked for at once.
const WATCHED: usize = 500;

/// What follows the name of the room in that of its events.
const EVENTS: &str = "/events";

/// What the fleet is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is.
    pub server: Address,
    /// The room of the agents' states.
    pub room: RoomName,
    /// How many agents there are.
    pub agents: usize,
    /// How often a second each writes its state.
    pub rate: f64,
    /// Whether no agent dies or falls silent.
    pub steady: bool,
    /// For how long; without it, until a signal comes.
    pub time: Option<Duration>,
}

/// What all agents share.
struct Fleet {
    options: Options,
    credentials: Credentials,
    events: RoomName,
    gate: Gate,
    tally: Tally,
    seed: u64,
    /// What an earlier fleet left behind.
    leftovers: RefCell<Vec<String>>,
}

/// Plays a fleet until the time is over or a signal comes, with a line now and
/// then on standard output. It has to be called on an actix system.
///
/// # Errors
/// What keeps it from beginning, in words for people. Once it has begun it
/// comes back by itself from whatever happens.
pub async fn play(options: Options, credentials: Credentials) -> anyhow::Result<()> {
    let events = RoomName::parse(&format!("{}{EVENTS}", options.room)).with_context(|| {
        format!("the events need a room named as this one with {EVENTS} behind")
    })?;
    let fleet = Fleet {
        options,
        credentials,
        events,
        gate: Gate::new(ATTEMPTS_PER_SECOND),
        tally: Tally::default(),
        seed: getrandom::u64()?,
        leftovers: RefCell::default(),
    };
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signalled = async {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
        }
    };
    tokio::pin!(signalled);
    tokio::select! {
        begun = fleet.look_around() => begun?,
        () = &mut signalled => return Ok(()),
    }

    let began = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let agents =
        (0..fleet.options.agents).map(|number| Agent::new(&fleet, number, stopped.clone()).live());
    let time = async {
        match fleet.options.time {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let end = async {
        tokio::select! {
            () = time => {}
            () = signalled => {}
        }
        stop.send_replace(true);
    };
    let all = async { tokio::join!(join_all(agents), end) };
    tokio::select! {
        _ = all => {}
        result = fleet.tell(began) => result?,
    }
    say(&fleet.tally.sum(fleet.options.agents, began.elapsed()), false)
}

impl Fleet {
    /// Whether a fleet can live here, and what the last one left behind.
    async fn look_around(&self) -> anyhow::Result<()> {
        let Self { options, credentials, gate, .. } = self;
        let guest = matches!(credentials, Credentials::Guests);
        gate.pass(credentials.attempts()).await;
        let identity = credentials.identity(&options.server, "agent-scout", "Scout").await;
        let identity = match identity {
            Err(refusal) if guest && refusal.status().is_some_and(|it| it.is_client_error()) => {
                let hint = "without guests, tokens are signed with --secret or auth.secret";
                return Err(anyhow::Error::new(refusal).context(hint));
            }
            identity => identity?,
        };
        let mut socket = request::upgrade(&options.server, &identity.token).await?;
        let looked = timeout(PATIENCE, self.find_leftovers(&mut socket)).await;
        looked.context("the server does not answer")??;
        let _ = timeout(PATIENCE, socket.close()).await;
        Ok(())
    }

    async fn find_leftovers(&self, socket: &mut Socket) -> anyhow::Result<()> {
        let room = &self.options.room;
        socket.send(&Ask::Join { id: 1, room, listen: true }).await?;
        let state = loop {
            match socket.next().await? {
                Told::Joined { state } => break state,
                Told::Error { code, message, .. } => bail!(Ended::refused(&code, &message)),
                _ => {}
            }
        };
        let ours = state.into_iter().filter(|(_, entry)| entry.value.get("demo").is_some());
        let ours: Vec<String> = ours.map(|(key, _)| key).collect();
        for users in ours.chunks(WATCHED) {
            socket.send(&Ask::Watch { id: 2, users }).await?;
            loop {
                match socket.next().await? {
                    Told::Online { users } => {
                        let gone = users.into_iter().filter(|(_, status)| status == "offline");
                        self.leftovers.borrow_mut().extend(gone.map(|(user, _)| user));
                        break;
                    }
                    // Then they stay.
                    Told::Error { id: Some(2), .. } => break,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes one of the things away that an earlier fleet left behind.
    async fn clear_one(&self, socket: &mut Socket) -> Result<(), Ended> {
        let key = self.leftovers.borrow_mut().pop();
        match key {
            Some(key) => {
                let room = &self.options.room;
                socket.send(&Put::Set { id: None, room, key: &key, value: () }).await
            }
            None => Ok(()),
        }
    }

    /// Says how it goes, for ever: on a terminal in one line, else now and then.
    async fn tell(&self, began: Instant) -> anyhow::Result<()> {
        let terminal = io::stdout().is_terminal();
        let period = Duration::from_secs(if terminal { 1 } else { 5 });
        let mut ticks = interval(period);
        ticks.tick().await;
        let mut known = 0;
        loop {
            ticks.tick().await;
            let updates = self.tally.updates.get();
            let rate = (updates - known) as f64 / period.as_secs_f64();
            known = updates;
            say(&self.tally.line(self.options.agents, began.elapsed(), rate), terminal)?;
        }
    }
}

/// Prints a line; on a terminal over the last one, where that is wanted.
fn say(line: &str, over: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if io::stdout().is_terminal() {
        write!(out, "\r\x1b[K{line}{}", if over { "" } else { "\n" })?;
    } else {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
