//! Revocations outlive the process, for as long as they hold and no longer.

use std::path::Path;

use redb::{Database, TableDefinition};
use rookery::{
    broker::RevocationStore,
    cluster::{CLOCK_SLACK, Revocation, Tokens},
    model::Timestamp,
};
use serde_json::json;

use super::{open, rows, user};
use crate::harness::{Directory, Process, eventually, node_process, now_ms, now_s};

const KEY: &str = "a-key-of-the-tests";

async fn start(path: &Path) -> Process {
    let path = path.display().to_string();
    let settings = [("ROOKERY__BROKER__PATH", path.as_str()), ("ROOKERY__API__KEYS", KEY)];
    node_process("", "n1", &settings).await
}

async fn kill(mut process: Process) {
    process.signal("KILL");
    process.exited().await;
}

#[tokio::test]
async fn a_token_that_was_revoked_is_refused_after_a_crash_too() {
    let directory = Directory::new();
    let process = start(directory.path()).await;
    let named = |jti: &str| process.token_with("ada", json!({"jti": jti, "iat": now_s()}));
    let [stolen, other] = ["t-1", "t-2"].map(named);
    // The same word for a user, which is not the token of that name.
    let (of_user, bob) = (process.token("t-2"), process.token("bob"));
    let undated = process.token_with("t-2", json!({"iat": null}));
    let mut shown = process.upgrade().bearer(&stolen).client().await;
    process.done(KEY, "/api/v1/tokens/t-1/revoke", json!({})).await;
    shown.closed().await.assert(1008, "token_revoked");
    process.done(KEY, "/api/v1/users/t-2/disconnect", json!({"revoke": true})).await;

    let mut process = process;
    for _ in 0..2 {
        kill(process).await;
        process = start(directory.path()).await;
        for revoked in [&stolen, &of_user, &undated] {
            process.assert_revoked(revoked).await;
        }
        let later = process.token("t-2");
        for good in [&other, &bob, &later] {
            process.upgrade().bearer(good).client().await.leave().await;
        }
    }
}

#[tokio::test]
async fn one_that_is_over_is_gone_from_the_file() {
    let directory = Directory::new();
    let broker = open(directory.path(), "").unwrap();
    // It holds for as long as clocks may differ besides: one of them may say that the
    // token holds still.
    let slack = u64::try_from(CLOCK_SLACK.as_millis()).unwrap();
    for (jti, until) in [
        ("over", now_ms() - slack),
        ("short", now_ms() - slack + 2_000),
        ("ended", now_ms()),
        ("long", Timestamp::MAX),
    ] {
        let revocation = Revocation { tokens: Tokens::Named(jti.into()), until };
        broker.update(Some(revocation), Vec::new()).await.unwrap();
    }
    drop(broker);
    assert_eq!(rows(&directory, "revocations"), 4);

    let process = start(directory.path()).await;
    let named = |jti: &str| process.token_with("ada", json!({"jti": jti, "iat": now_s()}));
    let [over, short, ended, long] = ["over", "short", "ended", "long"].map(named);
    for token in [&over, &short] {
        eventually("the revocation to be over", async || {
            process.upgrade().bearer(token).attempt().await.ok()?.ok()
        })
        .await;
    }
    process.assert_revoked(&ended).await;
    kill(process).await;
    assert_eq!(rows(&directory, "revocations"), 2);
    let process = start(directory.path()).await;
    process.assert_revoked(&ended).await;
    process.assert_revoked(&long).await;
}

#[tokio::test]
async fn a_store_of_a_version_that_kept_none_opens() {
    let directory = Directory::new();
    drop(open(directory.path(), "").unwrap());
    let table: TableDefinition<'_, (bool, &str), (u64, u64)> = TableDefinition::new("revocations");
    let database = Database::open(directory.path().join("rookery.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(table).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let process = start(directory.path()).await;
    process.done(KEY, "/api/v1/tokens/t-1/revoke", json!({})).await;
    kill(process).await;
    let process = start(directory.path()).await;
    process.assert_revoked(&process.token_with("ada", json!({"jti": "t-1"}))).await;
}

/// As in memory.
#[actix::test]
async fn several_of_one_user_or_token_are_one() {
    let directory = Directory::new();
    let named = |until| Revocation { tokens: Tokens::Named("ada".into()), until };
    let of_user = |issued_until: Timestamp, until| {
        let tokens = Tokens::OfUser { user: user("ada"), issued_until };
        Revocation { tokens, until }
    };
    let first = open(directory.path(), "").unwrap();
    assert_eq!(first.load(), []);
    for kept in [named(50), named(40), of_user(5, 70), of_user(7, 60)] {
        first.update(Some(kept), Vec::new()).await.unwrap();
    }
    // It was kept for longer since.
    first.update(None, vec![named(49)]).await.unwrap();
    drop(first);
    let second = open(directory.path(), "").unwrap();
    assert_eq!(second.load(), [named(50), of_user(7, 70)]);
    // One that is let go of for itself is not kept.
    second.update(Some(named(51)), vec![named(51), of_user(0, 70)]).await.unwrap();
    drop(second);
    assert_eq!(rows(&directory, "revocations"), 0);
}
