//! The life of one agent: connections, one after the other, until the fleet
//! ends.

use std::time::{Duration, Instant};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Fleet,
    tally::Counted,
    work::{Fate, Work},
};
use crate::{
    demo::{
        identity::Identity,
        random::Random,
        request::{self, Refusal},
        socket::{Ask, Ended, Put, Socket, Told},
    },
    model::wall_clock,
};

/// The longest wait before the next attempt to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Where a connection lived this long, the waits begin anew.
const STABLE: Duration = Duration::from_secs(10);
/// So long the server may take for a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// So long it may take for the answer to a join.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is drawn whether an agent dies.
const FATE: Duration = Duration::from_secs(1);

/// The ids of the requests that are answered.
const JOIN: u64 = 1;
const LAST_WORD: u64 = 2;

/// One agent of the fleet.
pub(super) struct Agent<'a> {
    fleet: &'a Fleet,
    stop: watch::Receiver<bool>,
    number: usize,
    work: Work,
    identity: Option<Identity>,
    random: Random,
}

/// How a connection ended.
enum End {
    /// The fleet ends.
    Stopped,
    /// As was drawn; it comes back after so long.
    Died(Duration),
    /// Not by the agent's will; the server may have said how long to stay away.
    Lost(Option<Duration>),
}

impl<'a> Agent<'a> {
    pub(super) fn new(fleet: &'a Fleet, number: usize, stop: watch::Receiver<bool>) -> Self {
        let work = Work::new(number, fleet.seed);
        let random = Random::new(fleet.seed.rotate_left(17) ^ number as u64);
        Self { fleet, stop, number, work, identity: None, random }
    }

    /// Works until the fleet ends.
    pub(super) async fn live(mut self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let end = match self.connect().await {
                Ok(socket) => self.work_over(socket).await,
                Err(refusal) => {
                    // The next attempt is with another token, if this one was refused.
                    if refusal.status().is_some_and(|status| status.as_u16() == 401) {
                        self.identity = None;
                    }
                    self.fleet.tally.failed(&refusal);
                    End::Lost(refusal.retry_after())
                }
            };
            let wait = match end {
                End::Stopped => return,
                End::Died(time) => time,
                End::Lost(asked) => {
                    failures = if began.elapsed() < STABLE { failures + 1 } else { 1 };
                    self.backoff(failures).max(asked.unwrap_or_default())
                }
            };
            let away = matches!(end, End::Died(_)).then(|| Counted::new(&self.fleet.tally.away));
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            drop(away);
        }
    }

    /// Full jitter, so that agents who lost the same server do not come back in
    /// step.
    fn backoff(&mut self, failures: u32) -> Duration {
        let most = Duration::from_millis(500).saturating_mul(1 << failures.min(10));
        most.min(LONGEST_WAIT).mul_f64(self.random.unit())
    }

    async fn connect(&mut self) -> Result<Socket, Refusal> {
        let Fleet { options, credentials, gate, .. } = self.fleet;
        gate.pass(if self.identity.is_some() { 1 } else { credentials.attempts() }).await;
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => {
                let user = format!("agent-{:03}", self.number + 1);
                credentials.identity(&options.server, &user, &self.work.name).await?
            }
        };
        let identity = self.identity.insert(identity);
        request::upgrade(&options.server, &identity.token).await
    }

    async fn work_over(&mut self, mut socket: Socket) -> End {
        let user = self.identity.as_ref().map_or_else(String::new, |it| it.user.clone());
        let end = match timeout(PATIENCE, self.join(&mut socket)).await {
            Ok(Ok(())) => {
                let _counted = Counted::new(&self.fleet.tally.connected);
                self.write(&mut socket, &user).await
            }
            Ok(Err(ended)) => Err(ended),
            Err(_) => {
                self.fleet.tally.failed(&"the server does not answer a join");
                return End::Lost(None);
            }
        };
        match end {
            Ok(End::Stopped) => {
                // Whoever does not answer that is left all the same.
                let _ = timeout(GOODBYE, self.say_goodbye(socket, &user)).await;
                End::Stopped
            }
            Ok(end) => end,
            Err(ended) => {
                self.fleet.tally.failed(&ended);
                End::Lost(None)
            }
        }
    }

    /// Becomes a member that only writes, of the room and of its log of events.
    async fn join(&self, socket: &mut Socket) -> Result<(), Ended> {
        for room in [&self.fleet.options.room, &self.fleet.events] {
            socket.send(&Ask::Join { id: JOIN, room, listen: false }).await?;
            loop {
                match socket.next().await? {
                    Told::Joined { .. } => break,
                    Told::Error { code, message, .. } => {
                        return Err(Ended::refused(&code, &message));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, socket: &mut Socket, user: &str) -> Result<End, Ended> {
        let Fleet { options, events, tally, .. } = self.fleet;
        let room = &options.room;
        let period = Duration::from_secs_f64(1.0 / options.rate);
        // Not all of them at the same moment.
        sleep(period.mul_f64(self.random.unit())).await;
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut last, mut drawn) = (Instant::now(), Instant::now());
        let mut silent_until = None;
        loop {
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
                told = socket.next() => match told? {
                    Told::Error { code, message, retry_after_ms, .. } => {
                        tally.failed(&Ended::refused(&code, &message));
                        let pause = Duration::from_millis(retry_after_ms.unwrap_or(1_000));
                        silent_until = Some(Instant::now() + pause);
                    }
                    Told::Closing { reason, after_ms } => {
                        tally.failed(&reason);
                        return Ok(End::Lost(Some(Duration::from_millis(after_ms))));
                    }
                    _ => {}
                },
                _ = ticks.tick() => {
                    let now = Instant::now();
                    if silent_until.is_some_and(|until| now < until) {
                        continue;
                    }
                    let report = self.work.goes_on(now - last, user);
                    last = now;
                    let value = self.work.state(wall_clock());
                    socket.send(&Put::Set { id: None, room, key: user, value }).await?;
                    tally.updates.set(tally.updates.get() + 1);
                    if let Some(report) = report {
                        let event = report.event;
                        socket.send(&Put::Publish { room: events, event, data: report }).await?;
                        tally.events.set(tally.events.get() + 1);
                    }
                    self.fleet.clear_one(socket).await?;
                    if !options.steady && now - drawn >= FATE {
                        match self.work.fate(now - drawn) {
                            Fate::Lives => {}
                            Fate::Dies(time) => return Ok(End::Died(time)),
                            Fate::Stalls(time) => silent_until = Some(now + time),
                        }
                        drawn = now;
                    }
                }
            }
        }
    }

    /// The last word has to be in the log before the connection ends.
    async fn say_goodbye(&mut self, mut socket: Socket, user: &str) -> Result<(), Ended> {
        self.work.stop();
        let value = self.work.state(wall_clock());
        let room = &self.fleet.options.room;
        socket.send(&Put::Set { id: Some(LAST_WORD), room, key: user, value }).await?;
        loop {
            match socket.next().await? {
                Told::Ack { id: LAST_WORD } | Told::Error { id: Some(LAST_WORD), .. } => break,
                _ => {}
            }
        }
        socket.close().await;
        Ok(())
    }
}
