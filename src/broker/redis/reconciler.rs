//! Derives SUBSCRIBE and UNSUBSCRIBE commands from what a [`SubscriptionTable`] says, and
//! sends them in batches.

use std::{hash::BuildHasher, sync::Arc};

use super::subscription_table::{ConnectionId, SubscriptionTable, Verb, Waiter};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// How many channels one command names.
pub(super) const BATCH_CHANNELS: usize = 256;

/// After so many commands in a row that Redis answered without a confirmation for each of
/// their channels, the connection counts as broken.
const MAX_UNCONFIRMED_COMMANDS: u32 = 3;

/// A connection that carries subscriptions.
pub(super) trait SubscribingConnection {
    type Error;

    fn id(&self) -> ConnectionId;

    /// Whether the channel belongs to the server that this connection leads to.
    fn owns(&self, channel: &str) -> bool;

    /// Sends one command. Redis' confirmations go to [`SubscriptionTable::confirm`], in the
    /// order in which Redis carried the commands out, before this resolves.
    fn command(
        &self,
        verb: Verb,
        channels: &[Arc<str>],
    ) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Why a connection cannot be used any more.
#[derive(Debug)]
pub(super) enum ReconcileError<E> {
    Command(E),
    /// Redis answers commands, and does not confirm their channels.
    Unconfirmed,
}

/// Sends commands over a connection until it holds what is wanted of it. Safe to drop at any
/// moment, but only one may run for a connection.
///
/// # Errors
/// The connection is of no use any more. All that it did not confirm is still to be done.
pub(super) async fn reconcile<X, T, W, S, C>(
    table: &Mutex<X>,
    connection: &C,
) -> Result<(), ReconcileError<C::Error>>
where
    X: AsMut<SubscriptionTable<T, W, S>>,
    W: Waiter,
    S: BuildHasher,
    C: SubscribingConnection,
{
    let mut unconfirmed = 0;
    loop {
        let mut idle = true;
        // In turn, so that neither kind waits for ever behind the other.
        for verb in [Verb::Subscribe, Verb::Unsubscribe] {
            let batch =
                lock(table).as_mut().next_batch(connection.id(), verb, BATCH_CHANNELS, |channel| {
                    connection.owns(channel)
                });
            if batch.is_empty() {
                continue;
            }
            idle = false;
            connection.command(verb, &batch).await.map_err(ReconcileError::Command)?;
            if lock(table).as_mut().is_confirmed(connection.id(), verb, &batch) {
                unconfirmed = 0;
                continue;
            }
            unconfirmed += 1;
            if unconfirmed >= MAX_UNCONFIRMED_COMMANDS {
                return Err(ReconcileError::Unconfirmed);
            }
        }
        if idle {
            return Ok(());
        }
    }
}

fn lock<X>(table: &Mutex<X>) -> MutexGuard<'_, X> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
