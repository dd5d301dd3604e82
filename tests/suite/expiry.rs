//! A token ends or is renewed while its connection lives.

use serde_json::{Value, json};

use crate::harness::{TestApp, now_ms, now_s, sign_with_secret};

/// What a busy machine may add to the moment a token ends.
const SLACK: u64 = 3000;

fn refresh(token: &str) -> Value {
    json!({"type": "refresh", "token": token})
}

fn assert_ended_at(expiry: u64) {
    let now = now_ms();
    assert!(now >= expiry * 1000, "closed {} ms before the token ended", expiry * 1000 - now);
    assert!(now <= expiry * 1000 + SLACK, "closed {} ms late", now - expiry * 1000);
}

#[tokio::test]
async fn a_session_is_closed_when_its_token_ends() {
    let app = TestApp::spawn("").await;
    let expiry = now_s() + 2;
    let mut alice = app.client_with("alice", json!({"exp": expiry})).await;
    alice.closed().await.assert(1008, "token_expired");
    assert_ended_at(expiry);
}

#[tokio::test]
async fn reauthenticate_comes_when_half_of_what_was_left_has_passed() {
    let app = TestApp::spawn("").await;
    let expiry = now_s() + 8;
    let half = (expiry * 1000 - now_ms()) / 2;
    let mut alice = app.client_with("alice", json!({"exp": expiry})).await;
    let message = alice.expect("reauthenticate").await;
    let left = expiry * 1000 - now_ms().min(expiry * 1000);
    assert_eq!(message["expires_at"], expiry * 1000);
    let in_ms = message["in_ms"].as_u64().expect("in_ms is a number");
    assert!(left <= half, "came {left} ms before the end, {half} ms are the half");
    assert!(left + SLACK >= half, "came {left} ms before the end, {half} ms are the half");
    assert!(in_ms.abs_diff(left) <= SLACK / 2, "told {in_ms} ms, {left} ms are left");
}

#[tokio::test]
async fn reauthenticate_does_not_come_while_much_is_left() {
    let app = TestApp::spawn("").await;
    for left in [40, 3600] {
        let mut alice = app.client_with("alice", json!({"exp": now_s() + left})).await;
        let seen = alice.settle().await;
        assert!(!seen.iter().any(|m| m["type"] == "reauthenticate"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_refreshed_session_outlives_its_old_token_and_ends_with_the_new_one() {
    let app = TestApp::spawn("").await;
    let (old, new) = (now_s() + 2, now_s() + 5);
    let mut alice = app.client_with("alice", json!({"exp": old})).await;
    alice.expect("reauthenticate").await;
    let token = app.token_with("alice", json!({"exp": new}));
    let reply = alice.ask(refresh(&token), "refreshed").await;
    assert_eq!(reply["expires_at"], new * 1000);
    // The new token is announced in its turn.
    let message =
        alice.until(|m| m["type"] == "reauthenticate" && m["expires_at"] == new * 1000).await;
    assert!(message["in_ms"].is_u64(), "{message}");
    alice.closed().await.assert(1008, "token_expired");
    assert_ended_at(new);
}

#[tokio::test]
async fn a_refresh_is_rejected_for_another_sub_or_a_bad_token_and_the_session_stays() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let forged = format!("{}x", app.token("alice"));
    for token in [
        app.token("bob"),
        app.token_with("alice", json!({"exp": now_s() - 1})),
        app.token_with("alice", json!({"grants": "all"})),
        forged,
        "x".to_owned(),
        sign_with_secret(&json!({"exp": now_s() + 60})),
    ] {
        let error = alice.refused(refresh(&token), "token_rejected").await;
        assert!(!error.to_string().contains(&token) || token == "x", "a message shows a token");
    }
    alice.join("lobby").await;
}

#[tokio::test]
async fn a_session_without_exp_is_never_told_to_reauthenticate() {
    let app = TestApp::spawn("auth.require_exp = false").await;
    let mut alice = app.client_with("alice", json!({"exp": null})).await;
    assert!(alice.welcome["expires_at"].is_null(), "{}", alice.welcome);
    let seen = alice.settle().await;
    assert!(!seen.iter().any(|m| m["type"] == "reauthenticate"), "{seen:?}");
}
