//! The order of an end: nobody new is let in, those who are here are told when
//! to come back and are closed, the sockets are waited for, the server stops.

use std::{io, sync::Arc, time::Duration};

use log::{info, warn};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep},
};

use crate::{model::Farewell, session::Registry};

/// How often a draining node looks whether all are gone.
const LOOK: Duration = Duration::from_millis(20);

/// The least and the most time over which clients are told to spread their
/// return.
const SPREAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// At about this rate clients come back.
const RETURNS_PER_SECOND: usize = 1000;

/// Asks an application to stop, as a signal does.
#[derive(Debug, Clone)]
pub struct Handle(Arc<watch::Sender<u32>>);

impl Handle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// The first call drains, a second one stops at once.
    pub fn stop(&self) {
        self.0.send_modify(|asked| *asked += 1);
    }

    /// Waits until it was asked so many times.
    pub(crate) async fn asked(&self, times: u32) {
        // The sender is in `self`: waiting does not fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked >= times).await;
    }
}

/// The signals that ask a process to stop.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Passes each signal on to the handle.
    pub(crate) async fn pass_on(mut self, handle: Handle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            handle.stop();
        }
    }
}

/// Sends all clients away, and waits until they are gone or the time is over.
pub(crate) async fn drain(registry: &Registry, timeout: Duration) {
    registry.begin_drain();
    let connections = registry.connections();
    info!("draining {connections} connections, for at most {timeout:?}");
    let deadline = Instant::now() + timeout;
    while registry.connections() > 0 {
        if Instant::now() >= deadline {
            warn!("{} connections did not end in time", registry.connections());
            return;
        }
        end_all(registry, connections);
        sleep(LOOK).await;
    }
}

/// Sends all clients away from a node that goes on. They reconnect, here or elsewhere.
pub(crate) fn send_away(registry: &Registry) {
    let connections = registry.connections();
    warn!("{connections} connections are closed: each may have been ended by a missed order");
    end_all(registry, connections);
}

fn end_all(registry: &Registry, connections: usize) {
    let spread = spread(connections);
    registry.end_all(Farewell::ShuttingDown, || {
        let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        spread.mul_f64(share)
    });
}

/// Over how long so many clients should spread their return.
fn spread(connections: usize) -> Duration {
    let seconds = u64::try_from(connections.div_ceil(RETURNS_PER_SECOND)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).clamp(SPREAD.0, SPREAD.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_clients_come_back_over_a_longer_time() {
        assert_eq!(spread(0), Duration::from_secs(1));
        assert_eq!(spread(5_001), Duration::from_secs(6));
        assert_eq!(spread(10_000_000), Duration::from_secs(30));
    }
}
