//! A revocation that was answered holds, and other orders reach who they are for: when
//! Redis loses its data, when a node was away, and by clocks that are wrong.

use serde_json::{Value, json};

use crate::harness::{Client, Process, RedisServer, eventually, node_process, now_ms, now_s};

const KEY: &str = "a-key-of-the-tests";
const ORDERS: &str = "rookery:orders:{nodes}";
const REVOKED: &str = "rookery:revoked:{nodes}";

async fn node(redis: &RedisServer, name: &str) -> Process {
    let settings = [("ROOKERY__API__KEYS", KEY), ("ROOKERY__AUTH__LEEWAY", "5s")];
    node_process(&redis.url(), name, &settings).await
}

/// A node whose clock is wrong.
async fn node_off_by(redis: &RedisServer, name: &str, offset_ms: i64) -> Process {
    let offset = offset_ms.to_string();
    let settings = [("ROOKERY__API__KEYS", KEY), ("ROOKERY_TEST_CLOCK_OFFSET_MS", &offset)];
    node_process(&redis.url(), name, &settings).await
}

async fn two(redis: &RedisServer) -> [Process; 2] {
    [node(redis, "n1").await, node(redis, "n2").await]
}

async fn revoke_user(node: &Process, user: &str) {
    let path = format!("/api/v1/users/{user}/disconnect");
    assert_eq!(node.done(KEY, &path, json!({"revoke": true})).await["revoked"], true);
}

async fn revoke_token(node: &Process, jti: &str, body: Value) {
    let path = format!("/api/v1/tokens/{jti}/revoke");
    assert_eq!(node.done(KEY, &path, body).await["revoked"], true);
}

async fn disconnect(node: &Process, user: &str) {
    node.done(KEY, &format!("/api/v1/users/{user}/disconnect"), json!({})).await;
}

/// Waits until so many revocations are stored.
async fn until_stored(redis: &RedisServer, count: usize) {
    eventually("the revocations to be stored", async || {
        let stored = redis.command(&["ZRANGE", REVOKED, "0", "-1"]);
        (stored.lines().filter(|line| line.starts_with('{')).count() >= count).then_some(())
    })
    .await;
}

/// Waits until the one node has heard all orders up to one that the other gives now.
async fn until_heard(giver: &Process, hearer: &Process) {
    let mut marker = hearer.client("marker").await;
    disconnect(giver, "marker").await;
    marker.closed().await.assert(1008, "kicked");
}

#[tokio::test]
async fn they_hold_whatever_redis_loses() {
    type Loss = (&'static str, fn(&RedisServer));
    let losses: [Loss; 3] = [
        ("all, while connections stay", |redis| drop(redis.command(&["FLUSHALL"]))),
        ("the revocations", |redis| drop(redis.command(&["DEL", REVOKED]))),
        ("revocations and orders", |redis| drop(redis.command(&["DEL", REVOKED, ORDERS]))),
    ];
    for (what, lose) in losses {
        let redis = RedisServer::start().await;
        let [one, two] = two(&redis).await;
        let old = one.token("alice");
        let named = one.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
        revoke_token(&one, "t-1", json!({})).await;
        revoke_user(&two, "alice").await;
        until_heard(&one, &two).await;
        until_heard(&two, &one).await;
        lose(&redis);
        until_stored(&redis, 2).await;
        // Those that start later know them.
        drop((one, two));
        let late = node(&redis, "n3").await;
        for token in [&old, &named] {
            eprintln!("after the loss of {what}");
            late.assert_revoked(token).await;
        }
        late.client("alice").await.leave().await;
    }
}

#[tokio::test]
async fn they_hold_when_redis_restarts_without_data() {
    let mut redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let old = one.token("alice");
    revoke_user(&one, "alice").await;
    redis.restart_empty().await;
    until_stored(&redis, 1).await;
    let late = node(&redis, "n3").await;
    for node in [&one, &two, &late] {
        super::until_ready(node, true).await;
        node.assert_revoked(&old).await;
    }
}

#[tokio::test]
async fn they_hold_when_redis_restarts_with_older_data() {
    let mut redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let named = one.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
    let mut bob = two.upgrade().bearer(&named).client().await;
    redis.command(&["SAVE"]);
    // Nobody but the giver hears of it before it is lost.
    two.signal("STOP");
    revoke_token(&one, "t-1", json!({})).await;
    redis.restart().await;
    two.signal("CONT");
    bob.closed().await.assert(1008, "token_revoked");
    until_stored(&redis, 1).await;
    let late = node(&redis, "n3").await;
    late.assert_revoked(&named).await;
}

#[tokio::test]
async fn a_node_that_knows_them_teaches_one_that_does_not() {
    let redis = RedisServer::start().await;
    let one = node(&redis, "n1").await;
    let named = one.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
    revoke_token(&one, "t-1", json!({})).await;
    // It starts while Redis knows nothing of it, and has a session with that token.
    one.signal("STOP");
    redis.command(&["DEL", REVOKED, ORDERS]);
    let late = node(&redis, "n3").await;
    let mut bob = late.upgrade().bearer(&named).client().await;
    one.signal("CONT");
    bob.closed().await.assert(1008, "token_revoked");
    late.assert_revoked(&named).await;
}

#[tokio::test]
async fn orders_that_redis_lost_are_given_again() {
    let mut redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let mut kicked = two.client("alice").await;
    let mut old = two.client("bob").await;
    let mut ended = two.client("carol").await;
    let mut other = two.client("dan").await;
    let (id, last) = (old.session().to_owned(), ended.session().to_owned());
    // It hears nothing until Redis has lost them.
    two.signal("STOP");
    disconnect(&one, "alice").await;
    one.done(KEY, &format!("/api/v1/users/carol/sessions/{last}/disconnect"), json!({})).await;
    let mut new = one.connect("bob").query("session", &id).client().await;
    redis.restart_empty().await;
    two.signal("CONT");
    kicked.closed().await.assert(1008, "kicked");
    ended.closed().await.assert(1008, "kicked");
    old.closed().await.assert(1001, "replaced");
    for stays in [&mut new, &mut other] {
        stays.ask(json!({"type": "ping"}), "pong").await;
    }
}

#[tokio::test]
async fn an_order_is_obeyed_once() {
    let redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let mut at_two = two.client("alice").await;
    for _ in 0..20 {
        let mut session = one.client("alice").await;
        disconnect(&one, "alice").await;
        session.closed().await.assert(1008, "kicked");
        at_two.closed().await.assert(1008, "kicked");
        // The order comes back to the giver, which obeyed it before it answered.
        at_two = two.client("alice").await;
        let mut again = one.client("alice").await;
        until_heard(&two, &one).await;
        again.ask(json!({"type": "ping"}), "pong").await;
        again.leave().await;
    }
    // And those given again are known by their name.
    let mut again = one.client("bob").await;
    disconnect(&one, "bob").await;
    again.closed().await.assert(1008, "kicked");
    let mut again = one.client("bob").await;
    redis.command(&["DEL", ORDERS, REVOKED]);
    eventually("the orders to be given again", async || {
        redis.command(&["XRANGE", ORDERS, "-", "+"]).contains("bob").then_some(())
    })
    .await;
    until_heard(&two, &one).await;
    again.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn the_node_that_answers_refuses_at_once() {
    let redis = RedisServer::start().await;
    let [one, _two] = two(&redis).await;
    for n in 0..40 {
        let jti = format!("t-{n}");
        let named = one.token_with("bob", json!({"jti": jti, "iat": now_s()}));
        revoke_token(&one, &jti, json!({})).await;
        one.assert_revoked(&named).await;
    }
}

#[tokio::test]
async fn a_node_that_missed_orders_reads_the_revocations_and_sends_its_sessions_away() {
    let redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let three = node(&redis, "n3").await;
    let named = one.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
    let mut revoked = two.upgrade().bearer(&named).client().await;
    let mut kicked = two.client("alice").await;
    let mut old = two.client("carol").await;
    let id = old.session().to_owned();
    until_heard(&one, &two).await;
    two.signal("STOP");
    revoke_token(&one, "t-1", json!({})).await;
    disconnect(&one, "alice").await;
    let mut new = one.connect("carol").query("session", &id).client().await;
    // The one that goes on has heard the last order, which is all that stays.
    until_heard(&three, &one).await;
    redis.command(&["XTRIM", ORDERS, "MAXLEN", "1"]);
    two.signal("CONT");
    revoked.closed().await.assert(1008, "token_revoked");
    // Nobody knows any more whom the others were meant for.
    for session in [&mut kicked, &mut old] {
        let closing = session.expect("closing").await;
        assert_eq!(closing["reconnect"], true, "{closing}");
        session.closed().await.assert(1001, "shutting_down");
    }
    two.assert_revoked(&named).await;
    // It goes on, and hears what is ordered from then on; the others were not concerned.
    until_heard(&one, &two).await;
    new.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn a_node_whose_clock_is_behind_revokes_what_was_issued() {
    let redis = RedisServer::start().await;
    let (right, behind) = (node(&redis, "n1").await, node_off_by(&redis, "n2", -60_000).await);
    let old = right.token("alice");
    let mut alice = right.upgrade().bearer(&old).client().await;
    revoke_user(&behind, "alice").await;
    alice.closed().await.assert(1008, "token_revoked");
    right.assert_revoked(&old).await;
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_lets_later_tokens_in() {
    let redis = RedisServer::start().await;
    let (right, ahead) = (node(&redis, "n1").await, node_off_by(&redis, "n2", 60_000).await);
    let old = right.token("alice");
    revoke_user(&ahead, "alice").await;
    right.assert_revoked(&old).await;
    right.client("alice").await.leave().await;
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_lets_go_of_no_revocation_early() {
    let redis = RedisServer::start().await;
    let right = node(&redis, "n1").await;
    let named = right.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
    revoke_token(&right, "t-1", json!({"expires_at": now_ms() + 30_000})).await;
    let ahead = node_off_by(&redis, "n2", 60_000).await;
    super::until_ready(&ahead, true).await;
    let late = node(&redis, "n3").await;
    late.assert_revoked(&named).await;
}

/// A token as an issuer makes it whose clock is ahead.
fn ahead(node: &Process, user: &str, seconds: u64) -> String {
    node.token_with(user, json!({"iat": now_s() + seconds}))
}

#[tokio::test]
async fn tokens_of_an_issuer_whose_clock_is_ahead_are_revoked_on_every_node() {
    let redis = RedisServer::start().await;
    let [one, two] = two(&redis).await;
    let (shown, stolen) = (ahead(&one, "alice", 4), ahead(&one, "alice", 3));
    let mut alice = two.upgrade().bearer(&shown).client().await;
    eventually("the nodes to know of the issuer", async || {
        let names = redis.command(&["KEYS", "rookery:report:*"]);
        let reports = names.lines().map(|name| redis.command(&["GET", name]));
        let tells = |report: String| {
            let report: Value = serde_json::from_str(&report).unwrap_or_default();
            report["issuers_ahead_ms"].as_u64() > Some(2_000)
        };
        reports.into_iter().any(tells).then_some(())
    })
    .await;
    // The node that is asked saw no token of that issuer.
    revoke_user(&one, "alice").await;
    alice.closed().await.assert(1008, "token_revoked");
    for node in [&one, &two] {
        node.assert_revoked(&shown).await;
        node.assert_revoked(&stolen).await;
    }
    // One that is made later is not among them.
    let later = eventually("a later token to be made", async || {
        let token = ahead(&two, "alice", 5);
        two.upgrade().bearer(&token).attempt().await.ok()?.ok()
    })
    .await;
    let mut later = Client::new(later);
    later.next().await;
    later.ask(json!({"type": "ping"}), "pong").await;
}
