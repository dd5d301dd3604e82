//! The revocations of the store.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError};

use super::error::Failure;
use crate::{
    cluster::{Revocation, Tokens},
    model::{Timestamp, UserId},
};

/// Whether it is a user's tokens, and the user; else the one token's `jti`.
type Key = (bool, &'static str);
/// The moment up to which a user's tokens were issued, 0 for a `jti`; and the end.
type Row = (Timestamp, Timestamp);

/// Of each user and each `jti` one.
pub(super) const REVOKED: TableDefinition<'_, Key, Row> = TableDefinition::new("revocations");

fn key(tokens: &Tokens) -> (bool, &str) {
    match tokens {
        Tokens::Named(id) => (false, id),
        Tokens::OfUser { user, .. } => (true, user.as_str()),
    }
}

/// Keeps one more, as one with what is known of the same token or user.
pub(super) fn keep(
    table: &mut Table<'_, Key, Row>,
    Revocation { tokens, until }: &Revocation,
) -> Result<(), Failure> {
    let issued_until = match tokens {
        Tokens::Named(_) => 0,
        Tokens::OfUser { issued_until, .. } => *issued_until,
    };
    let known = table.get(key(tokens))?.map(|row| row.value()).unwrap_or_default();
    table.insert(key(tokens), (issued_until.max(known.0), (*until).max(known.1)))?;
    Ok(())
}

/// Lets go of one, unless it was kept for longer since.
pub(super) fn forget(
    table: &mut Table<'_, Key, Row>,
    Revocation { tokens, until }: &Revocation,
) -> Result<(), Failure> {
    let end = table.get(key(tokens))?.map(|row| row.value().1);
    if end.is_some_and(|end| end <= *until) {
        table.remove(key(tokens))?;
    }
    Ok(())
}

/// All of them.
pub(super) fn load(database: &Database) -> Result<Vec<Revocation>, Failure> {
    let table = match database.begin_read()?.open_table(REVOKED) {
        // It was written by a version that kept none.
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut revocations = Vec::new();
    for row in table.iter()? {
        let (key, row) = row?;
        let ((of_user, name), (issued_until, until)) = (key.value(), row.value());
        let tokens = if of_user {
            Tokens::OfUser { user: UserId::named(name), issued_until }
        } else {
            Tokens::Named(name.into())
        };
        revocations.push(Revocation { tokens, until });
    }
    Ok(revocations)
}
