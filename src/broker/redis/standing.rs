//! Orders that were lost or missed, and the revocations that stand in Redis.
//!
//! The stream of orders is trimmed, and Redis may lose its data. A beat sees either by
//! the last order this node knows: it is not in the stream any more. The stored
//! revocations have an epoch, which is lost with them. What a node does then:
//!
//! | order | after a loss | after a trim |
//! | --- | --- | --- |
//! | `Revoke` | every node stores again what it remembers, and has the others read it | the stored ones are read anew |
//! | `TakeOver`, `Disconnect`, `End` | who gave one a moment before gives it again under its name | all sessions are sent to reconnect: any of them may have been meant |

use std::{panic::AssertUnwindSafe, time::Instant};

use actix::prelude::*;
use ahash::AHashMap;
use futures_util::future::FutureExt;
use log::{info, warn};
use redis::cmd;

use super::{
    bridge::RedisBridge,
    entry,
    logs::millis,
    node::Node,
    orders::{Named, Place, read_order},
    perhaps::{Perhaps, odd, understood},
    pulse::Heartbeat,
    script::{ATTEND, REMEMBER},
};
use crate::{
    broker::Unavailable,
    cluster::{CLOCK_SLACK, Order, Revocation, Tokens},
    model::{Epoch, wall_clock},
};

/// So many revocations are read or stored in one step.
const BATCH: usize = 1000;

/// A member of a sorted set and its score, as a scan gives them.
type ScannedMember = (Perhaps<String>, Perhaps<String>);

/// What became of the orders after the last known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All of them are in the stream.
    Whole,
    /// Some were trimmed.
    Cut,
    /// Redis lost some that it had taken.
    Lost,
}

/// What is still to be done about revocations and orders.
#[derive(Default)]
pub(super) struct Resync {
    /// The epoch of the stored revocations when they were last read.
    pub(super) epoch: String,
    due: bool,
    running: bool,
    missed: bool,
    /// Orders of this node that Redis lost.
    lost: Vec<Named>,
}

impl Resync {
    /// The stored revocations are to be compared with the remembered ones.
    pub(super) fn ask(&mut self) {
        self.due = true;
    }
}

impl RedisBridge {
    /// Looks at what a beat says of orders and revocations.
    pub(super) fn judge_orders(&mut self, beat: &Heartbeat, ctx: &mut Context<Self>) {
        let resync = &mut self.pulse.resync;
        match beat.fate {
            Fate::Whole => self.node.orders().settle(Instant::now()),
            Fate::Cut => {
                warn!("orders of other nodes were missed: the stream was trimmed meanwhile");
                resync.missed = true;
                resync.due = true;
            }
            Fate::Lost => {
                warn!("Redis lost orders: those of a moment ago are given again");
                resync.lost.extend(self.node.orders().take_given());
                resync.due = true;
            }
        }
        resync.due |= beat.recalled || beat.epoch.as_ref().is_some_and(|it| *it != resync.epoch);
        self.resync(ctx);
    }

    /// Compares the stored revocations with the remembered ones, where that is due. Once at
    /// a time; where it fails, the next beat tries again.
    fn resync(&mut self, ctx: &mut Context<Self>) {
        let resync = &mut self.pulse.resync;
        if !resync.due || resync.running {
            return;
        }
        resync.running = true;
        resync.due = false;
        let (missed, lost) = (resync.missed, std::mem::take(&mut resync.lost));
        let node = self.node.clone();
        let done = async move { node.resync(missed, lost).await };
        // After a panic it has to be tried again, and not to be running for ever.
        let done = AssertUnwindSafe(done).catch_unwind().map(Result::unwrap_or_default);
        ctx.spawn(done.into_actor(self).map(|(epoch, lost), act, _| {
            let resync = &mut act.pulse.resync;
            resync.running = false;
            match epoch {
                Some(epoch) => {
                    resync.epoch = epoch;
                    resync.missed = false;
                }
                None => resync.due = true,
            }
            resync.lost.extend(lost);
        }));
    }
}

impl Node {
    /// Obeys the stored revocations, stores those that only this node remembers, and gives
    /// lost orders again. Answers the epoch, or nothing where it has to be repeated, and the
    /// orders that are still to be given.
    async fn resync(&self, missed: bool, mut lost: Vec<Named>) -> (Option<String>, Vec<Named>) {
        let Ok(epoch) = self.compare_revocations().await else { return (None, lost) };
        // After the revocations: who is sent away for one is told so.
        if missed && let Some(listeners) = self.listeners.get() {
            (listeners.missed)();
        }
        while let Some(named) = lost.first() {
            if self.give(named).await.is_err() {
                return (None, lost);
            }
            lost.remove(0);
        }
        (Some(epoch), lost)
    }

    async fn compare_revocations(&self) -> Result<String, Unavailable> {
        let (_, epoch) = self.attend().await?;
        let stored = self.stored_revocations().await?;
        let Some(listeners) = self.listeners.get() else { return Ok(epoch) };
        let remembered = (listeners.revocations)();
        let missing = missing(remembered, &stored);
        self.obey_standing(stored.into_iter().map(Order::Revoke));
        if missing.is_empty() {
            return Ok(epoch);
        }
        let mut added = 0_u64;
        let batches = missing.len().div_ceil(BATCH);
        for (at, batch) in missing.chunks(BATCH).enumerate() {
            let mut call = REMEMBER
                .call([self.names.orders(), self.names.revoked()])
                .arg(self.names.nodes())
                .arg(self.verb())
                .arg(u8::from(at + 1 == batches))
                .arg(added);
            for revocation in batch {
                let order = Order::Revoke(revocation.clone());
                call = call.arg(revocation.until).arg(entry::written(&order));
            }
            added = self.run_safely(call).await?;
        }
        info!("stored {added} revocations again that Redis had lost");
        Ok(epoch)
    }

    /// What stands when this node begins to hear orders: the place of the last order, the
    /// epoch of the stored revocations, and the revocations.
    pub(super) async fn standing(&self) -> Result<(Place, String, Vec<Revocation>), Unavailable> {
        // First the place: what is ordered meanwhile is heard after it, and read besides.
        let (place, epoch) = self.attend().await?;
        Ok((place, epoch, self.stored_revocations().await?))
    }

    async fn attend(&self) -> Result<(Place, String), Unavailable> {
        let call = ATTEND
            .call([self.names.orders(), self.names.revoked()])
            .arg(Epoch::random().to_string())
            .arg(millis(CLOCK_SLACK));
        let (place, epoch): (String, String) = self.run_safely(call).await?;
        Ok((Place::parse(&place).ok_or_else(odd)?, epoch))
    }

    /// Those that are there from the first step to the last are among them, whatever comes
    /// and goes meanwhile.
    async fn stored_revocations(&self) -> Result<Vec<Revocation>, Unavailable> {
        let (mut cursor, mut stored) = ("0".to_owned(), Vec::new());
        loop {
            let mut scan = cmd("ZSCAN");
            scan.arg(self.names.revoked()).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, members): (String, Vec<ScannedMember>) = self.command(&scan).await?;
            let members = understood(members.into_iter().map(|(member, _)| member).collect());
            let orders = members.filter(|member: &String| !member.starts_with('#'));
            stored.extend(orders.filter_map(|order| match read_order(&order) {
                Some(Order::Revoke(revocation)) => Some(revocation),
                _ => None,
            }));
            if next == "0" {
                return Ok(stored);
            }
            cursor = next;
        }
    }
}

/// The remembered revocations that the stored ones do not take in.
fn missing(mut remembered: Vec<Revocation>, stored: &[Revocation]) -> Vec<Revocation> {
    // By token or user, the moment up to which tokens were issued and the end.
    let mut known: AHashMap<(bool, &str), (u64, u64)> = AHashMap::new();
    for revocation in stored {
        let (key, reach) = reach(revocation);
        let held = known.entry(key).or_default();
        *held = (held.0.max(reach.0), held.1.max(reach.1));
    }
    let now = wall_clock().saturating_sub(millis(CLOCK_SLACK));
    remembered.retain(|revocation| {
        let (key, (issued_until, until)) = reach(revocation);
        let held = known.get(&key);
        until > now && held.is_none_or(|held| held.0 < issued_until || held.1 < until)
    });
    remembered
}

fn reach(revocation: &Revocation) -> ((bool, &str), (u64, u64)) {
    match &revocation.tokens {
        Tokens::Named(id) => ((false, &**id), (0, revocation.until)),
        Tokens::OfUser { user, issued_until } => {
            ((true, user.as_str()), (*issued_until, revocation.until))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    #[test]
    fn a_revocation_is_missing_unless_a_stored_one_reaches_as_far() {
        let named = |id: &str, until| Revocation { tokens: Tokens::Named(id.into()), until };
        let of_user = |issued_until, until| {
            let tokens = Tokens::OfUser { user: UserId::parse("a").unwrap(), issued_until };
            Revocation { tokens, until }
        };
        let end = u64::MAX;
        let stored = [named("a", end), named("b", 7), of_user(5, end), of_user(9, end - 1)];
        assert_eq!(missing(vec![named("a", end), of_user(9, end)], &stored), []);
        let further = vec![named("b", end), named("c", end), of_user(10, end)];
        assert_eq!(missing(further.clone(), &stored), further);
        assert_eq!(missing(vec![named("over", 1)], &[]), []);
    }
}
