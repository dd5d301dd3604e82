use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{Inner, Traces};
use crate::cluster::{Cluster, Whisper, Wish};

/// How often wishes are told again.
const REPEAT: Duration = Duration::from_secs(1);

/// How often others are told what happened here.
const PACE: Duration = Duration::from_millis(100);

/// So much is said at once about one trace.
const BATCH: usize = 128;

/// Tells the other nodes what is wished here, and what happened here that they
/// wish to know. It does nothing while nobody traces.
pub async fn relay(traces: Arc<Traces>, cluster: Arc<dyn Cluster>) {
    // What was said last: a node that was told of wishes is told when there are none.
    let (mut said, mut told) = (None::<Instant>, Vec::new());
    loop {
        if !traces.is_on() && told.is_empty() {
            traces.wake.notified().await;
        }
        let now = Instant::now();
        let (wishes, happened) = traces.due(now);
        let is_new = wishes.iter().map(|wish| wish.trace).ne(told.iter().copied());
        if is_new || said.is_none_or(|at| now >= at + REPEAT) && !wishes.is_empty() {
            told = wishes.iter().map(|wish| wish.trace).collect();
            said = Some(now);
            // What is lost is said again.
            let _ = cluster.whisper(&Whisper::Wishes { origin: traces.origin, wishes }).await;
        }
        for whisper in happened {
            let _ = cluster.whisper(&whisper).await;
        }
        sleep(PACE).await;
    }
}

impl Traces {
    /// What is wished here, and what is to be told to others.
    fn due(&self, now: Instant) -> (Vec<Wish>, Vec<Whisper>) {
        let mut inner = self.lock();
        let Inner { here, elsewhere, .. } = &mut *inner;
        let wishes = here.iter().map(|it| it.wish.clone()).collect();
        let happened = elsewhere.take(BATCH, now);
        self.settle_quietly(&inner);
        (wishes, happened)
    }
}
