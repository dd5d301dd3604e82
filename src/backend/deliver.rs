//! Takes events out of an outbox, oldest first, and posts them until the
//! backend has them.

use std::{cmp, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use log::{info, warn};
use reqwest::{Response, StatusCode, header};
use tokio::time::sleep;

use super::{
    event::{self, Event},
    hook::{Hook, Hooks},
    post::Caller,
};

/// Where the events of hooks wait.
pub trait Outbox: Send + Sync {
    /// Waits until an event waits that this node is to deliver; answers the next
    /// ones, at most so many, in the order of their rooms. They stay until they
    /// are [`done`](Self::done), and are answered again before.
    fn read(&self, hook: usize, most: usize) -> BoxFuture<'_, Vec<Event>>;

    /// The backend has these. Where that cannot be noted they come again.
    fn done<'a>(&'a self, hook: usize, events: &'a [Event]) -> BoxFuture<'a, ()>;
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// The backend does not take this body, however often it comes.
    Refused(StatusCode),
    Failed {
        why: String,
        /// When the backend wants it again.
        after: Option<Duration>,
    },
}

/// Delivers to one hook; ends when it is dropped.
pub(super) async fn deliver(
    hooks: Arc<Hooks>,
    number: usize,
    caller: Arc<Caller>,
    outbox: Arc<dyn Outbox>,
) {
    let Some(hook) = hooks.get(number) else { return };
    let settings = &hooks.settings;
    let mut size = settings.batch;
    let mut failures: u32 = 0;
    loop {
        let events = outbox.read(number, size).await;
        if events.is_empty() {
            continue;
        }
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        match call(&caller, &events).await {
            Outcome::Taken => {
                outbox.done(number, &events).await;
                hook.figures.delivered.inc_by(count);
                if failures > 0 {
                    info!("webhooks of {}: {} takes events again", name(hook), caller.host());
                }
                failures = 0;
                size = size.saturating_mul(2).min(settings.batch);
            }
            // Which of them it is shows when they come one by one.
            Outcome::Refused(_) if events.len() > 1 => size = events.len() / 2,
            Outcome::Refused(status) => {
                for Event { id, .. } in &events {
                    warn!("webhooks of {}: the event {id} was refused: {status}", name(hook));
                }
                outbox.done(number, &events).await;
                hook.figures.refused.inc_by(count);
            }
            Outcome::Failed { why, after } => {
                hook.figures.retried.inc();
                if failures == 0 {
                    let host = caller.host();
                    warn!("webhooks of {}: {host} does not take events: {why}", name(hook));
                }
                let pause = pause(failures, settings.retry, settings.retry_most);
                sleep(pause.max(after.unwrap_or_default().min(settings.retry_most))).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

fn name(hook: &Hook) -> &str {
    &hook.endpoint.name
}

async fn call(caller: &Caller, events: &[Event]) -> Outcome {
    match caller.post(event::body(events), None).await {
        Ok(response) => {
            let outcome = judge(&response);
            // Read to its end, the connection can be used again.
            drop(response.bytes().await);
            outcome
        }
        Err(error) => Outcome::Failed { why: why(&error), after: None },
    }
}

/// Why there is no answer; the innermost cause says most.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn judge(response: &Response) -> Outcome {
    let after = response.headers().get(header::RETRY_AFTER);
    let seconds = after.and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
    outcome(response.status(), seconds.map(Duration::from_secs))
}

/// What is wrong with how the backend is set up, such as 401 and 404, is mended
/// by people while events wait. What it says of the body does not change.
fn outcome(status: StatusCode, after: Option<Duration>) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Taken,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused(status),
        status => Outcome::Failed { why: status.to_string(), after },
    }
}

/// How long to wait after so many failures before this one: between a half and
/// the whole of a time that doubles.
fn pause(failures: u32, first: Duration, most: Duration) -> Duration {
    let most = cmp::max(first, most);
    let grown = first.saturating_mul(1 << failures.min(20)).min(most);
    let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    grown.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_tried_again_but_what_is_refused_is_not() {
        let judged = |code| outcome(StatusCode::from_u16(code).unwrap(), None);
        for code in [200, 202, 204] {
            assert_eq!(judged(code), Outcome::Taken, "{code}");
        }
        for code in [400, 413, 422] {
            assert!(matches!(judged(code), Outcome::Refused(_)), "{code}");
        }
        for code in [301, 401, 403, 404, 408, 410, 429, 500, 502, 503] {
            assert!(matches!(judged(code), Outcome::Failed { .. }), "{code}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let (first, most) = (Duration::from_millis(500), Duration::from_secs(60));
        for failures in 0..40 {
            let whole = Duration::from_millis(500 << failures.min(7)).min(most);
            let pause = pause(failures, first, most);
            assert!(pause >= whole / 2 && pause <= whole, "{failures}: {pause:?}");
        }
        assert!((0..20).any(|_| pause(9, first, most) != pause(9, first, most)));
    }
}
