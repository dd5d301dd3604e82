//! What backends do to users and their tokens.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, eventually, now_ms, now_s};

const KEY: &str = "a-key-of-the-tests";
const SETTINGS: &str = r#"api.keys = ["another-key", "a-key-of-the-tests"]"#;

async fn assert_accepted(app: &TestApp, token: &str) -> Client {
    app.upgrade().bearer(token).client().await
}

#[tokio::test]
async fn a_disconnect_closes_every_session_of_the_user_with_kicked() {
    let app = TestApp::spawn(SETTINGS).await;
    // Enough that both workers have some.
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(app.client("alice").await);
    }
    let mut bob = app.client("bob").await;
    let path = "/api/v1/users/alice/disconnect";
    let answer = app.done(KEY, path, json!({"reason": "spam\n\u{1b}[2J", "unknown": [1]})).await;
    assert_eq!((&answer["user"], &answer["revoked"]), (&json!("alice"), &json!(false)));
    for mut session in sessions {
        session.closed().await.assert(1008, "kicked");
    }
    bob.ask(json!({"type": "ping"}), "pong").await;
    // Nothing keeps the user from coming back, and nobody there is no mistake.
    app.client("alice").await.leave().await;
    app.done(KEY, "/api/v1/users/nobody/disconnect", Value::Null).await;
}

#[tokio::test]
async fn a_user_is_named_in_the_path_by_any_id_it_may_have() {
    let app = TestApp::spawn(SETTINGS).await;
    for (user, encoded) in [("a/b", "a%2Fb"), ("ü ?#%", "%C3%BC%20%3F%23%25"), ("a+b", "a+b")] {
        let mut client = app.client(user).await;
        let answer = app.done(KEY, &format!("/api/v1/users/{encoded}/disconnect"), json!({})).await;
        assert_eq!(answer["user"], user);
        client.closed().await.assert(1008, "kicked");
    }
}

#[tokio::test]
async fn revoke_refuses_the_tokens_issued_up_to_now_and_no_later_ones() {
    let app = TestApp::spawn(SETTINGS).await;
    let old = app.token("alice");
    let undated = app.token_with("alice", json!({"iat": null}));
    let mut session = assert_accepted(&app, &old).await;
    let mut dated_later = assert_accepted(&app, &undated).await;
    let bob = app.token("bob");
    let mut other = assert_accepted(&app, &bob).await;

    let answer = app.done(KEY, "/api/v1/users/alice/disconnect", json!({"revoke": true})).await;
    assert_eq!(answer["revoked"], true);
    session.closed().await.assert(1008, "token_revoked");
    dated_later.closed().await.assert(1008, "token_revoked");
    app.assert_revoked(&old).await;
    app.assert_revoked(&undated).await;

    // Made after the answer, in whole seconds as most tokens are.
    let mut again = assert_accepted(&app, &app.token("alice")).await;
    again.refused(json!({"type": "refresh", "token": old}), "token_rejected").await;
    again.ask(json!({"type": "refresh", "token": app.token("alice")}), "refreshed").await;
    other.ask(json!({"type": "refresh", "token": bob}), "refreshed").await;
}

#[tokio::test]
async fn a_token_with_a_fraction_of_the_second_is_told_from_earlier_ones() {
    let app = TestApp::spawn(SETTINGS).await;
    let fine = |app: &TestApp| app.token_with("alice", json!({"iat": now_ms() as f64 / 1000.0}));
    let mut session = assert_accepted(&app, &fine(&app)).await;
    let kick = app.done(KEY, "/api/v1/users/alice/disconnect", json!({"revoke": true}));
    let renewed = async {
        session.closed().await.assert(1008, "token_revoked");
        // Not the very millisecond of the revocation.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        // While the call waits for the end of the second.
        assert_accepted(&app, &fine(&app)).await.leave().await;
    };
    tokio::join!(kick, renewed);
}

#[tokio::test]
async fn tokens_of_an_issuer_whose_clock_is_ahead_are_revoked_with_the_others() {
    let app = TestApp::spawn(&format!("{SETTINGS}\nauth.leeway = \"5s\"")).await;
    let ahead = |seconds: u64| app.token_with("alice", json!({"iat": now_s() + seconds}));
    let (shown, stolen) = (ahead(4), ahead(3));
    let mut session = assert_accepted(&app, &shown).await;
    app.done(KEY, "/api/v1/users/alice/disconnect", json!({"revoke": true})).await;
    session.closed().await.assert(1008, "token_revoked");
    app.assert_revoked(&shown).await;
    app.assert_revoked(&stolen).await;
    // That issuer's next token is let in.
    assert_accepted(&app, &ahead(5)).await.leave().await;
}

#[tokio::test]
async fn a_token_that_is_refused_for_now_is_revoked_before_its_time_comes() {
    let app = TestApp::spawn(&format!("{SETTINGS}\nauth.leeway = \"1s\"")).await;
    // The issuer's clock is ahead by more than the leeway.
    let early = app.token_with("alice", json!({"iat": now_s() + 4}));
    app.upgrade().bearer(&early).refused().await.assert_error(401, "unauthorized");
    app.done(KEY, "/api/v1/users/alice/disconnect", json!({"revoke": true})).await;
    eventually("its time to come", async || {
        let refused = app.upgrade().bearer(&early).refused().await;
        refused.body.contains("revoked").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_is_revoked_by_its_jti() {
    let app = TestApp::spawn(SETTINGS).await;
    let token = |jti: &str| app.token_with("alice", json!({"jti": jti, "iat": now_s()}));
    let [first, second, third] = ["t/1", "t-2", "t-3"].map(token);
    let mut shown = assert_accepted(&app, &first).await;
    let mut refreshed = assert_accepted(&app, &second).await;
    refreshed.ask(json!({"type": "refresh", "token": third}), "refreshed").await;

    let until = now_ms() + 60_000;
    let answer = app.done(KEY, "/api/v1/tokens/t%2F1/revoke", json!({"expires_at": until})).await;
    assert_eq!((&answer["jti"], &answer["until"]), (&json!("t/1"), &json!(until)));
    shown.closed().await.assert(1008, "token_revoked");
    app.assert_revoked(&first).await;
    refreshed.refused(json!({"type": "refresh", "token": first}), "token_rejected").await;

    // The session shows another token by now; then it is that one's turn.
    app.done(KEY, "/api/v1/tokens/t-2/revoke", Value::Null).await;
    refreshed.ask(json!({"type": "ping"}), "pong").await;
    app.done(KEY, "/api/v1/tokens/t-3/revoke", json!({})).await;
    refreshed.closed().await.assert(1008, "token_revoked");
}

#[tokio::test]
async fn a_revocation_is_remembered_for_as_long_as_configured() {
    let settings = format!("{SETTINGS}\nauth.revoke_for = \"2h\"");
    let app = TestApp::spawn(&settings).await;
    // A time that is past, or in seconds, shortens nothing.
    for body in [json!({}), json!({"expires_at": now_s()}), json!({"expires_at": null})] {
        let answer = app.done(KEY, "/api/v1/tokens/t-1/revoke", body).await;
        let until = answer["until"].as_u64().expect("a time");
        assert!(until.abs_diff(now_ms() + 7_200_000) < 60_000, "{answer}");
    }
}

#[tokio::test]
async fn a_revoked_guest_gets_no_further_token_for_its_user() {
    let app = TestApp::spawn(SETTINGS).await;
    let guest = app.post("/auth/guest", &json!({"name": "Ada"})).await.json();
    let (token, user) = (guest["token"].as_str().unwrap(), guest["user"].as_str().unwrap());
    let mut session = assert_accepted(&app, token).await;
    app.done(KEY, &format!("/api/v1/users/{user}/disconnect"), json!({"revoke": true})).await;
    session.closed().await.assert(1008, "token_revoked");
    let head = [("authorization", format!("Bearer {token}"))];
    let renewed = app.post_with("/auth/guest", &head, &json!({"name": "Ada"})).await;
    renewed.assert_error(401, "unauthorized");
}

#[tokio::test]
async fn without_a_key_of_the_list_every_call_is_401() {
    let app = TestApp::spawn(SETTINGS).await;
    let mut alice = app.client("alice").await;
    let path = "/api/v1/users/alice/disconnect";
    let mut answers = vec![app.post(path, &json!({})).await];
    for key in ["", "wrong-key", "a-key-of-the-test", "a-key-of-the-testss", &app.token("alice")] {
        answers.push(app.backend(key, "POST", path, "").await);
        answers.push(app.backend(key, "GET", path, "").await);
        answers.push(app.backend(key, "POST", "/api/v1/tokens/x/revoke", "").await);
        answers.push(app.backend(key, "GET", "/api/v1/no-such-call", "").await);
    }
    for answer in answers {
        answer.assert_error(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    alice.ask(json!({"type": "ping"}), "pong").await;
    // Any key of the list will do.
    assert_eq!(app.backend("another-key", "POST", path, "").await.status, 200);
    alice.closed().await.assert(1008, "kicked");
}

#[tokio::test]
async fn without_keys_there_is_no_backend_api() {
    let app = TestApp::spawn("").await;
    let disconnect = "/api/v1/users/alice/disconnect";
    for path in [disconnect, "/api/v1/tokens/x/revoke", "/api/v1/x", "/api/v1"] {
        for method in ["GET", "POST"] {
            app.backend(KEY, method, path, "").await.assert_error(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_read_says_what_is_wrong() {
    let app = TestApp::spawn(SETTINGS).await;
    let (kick, revoke) = ("/api/v1/users/alice/disconnect", "/api/v1/tokens/x/revoke");
    let cases = [
        (kick, r#"{"revoke": "yes"}"#, "bad_message", "`revoke`"),
        (kick, r#"{"reason": 7}"#, "bad_message", "`reason`"),
        (revoke, r#"{"expires_at": "soon"}"#, "bad_message", "`expires_at`"),
        (revoke, r#"{"expires_at": -1}"#, "bad_message", "`expires_at`"),
        (kick, "[]", "bad_message", "an object"),
        (kick, "{", "bad_json", "JSON"),
        (kick, "{} {}", "bad_json", "JSON"),
        ("/api/v1/users/a%00b/disconnect", "", "bad_message", "user"),
    ];
    for (path, body, code, named) in cases {
        let response = app.backend(KEY, "POST", path, body).await;
        response.assert_error(400, code);
        assert!(response.body.contains(named), "{body}: {response:?}");
    }
    let long = format!("/api/v1/users/{}/disconnect", "x".repeat(129));
    app.backend(KEY, "POST", &long, "").await.assert_error(400, "bad_message");
    let long = format!("/api/v1/tokens/{}/revoke", "x".repeat(1025));
    app.backend(KEY, "POST", &long, "").await.assert_error(400, "bad_message");
    let body = format!("{{\"reason\": {:?}}}", "x".repeat(5000));
    app.backend(KEY, "POST", kick, &body).await.assert_error(413, "too_large");
    app.backend(KEY, "GET", "/api/v1/users/alice/x", "").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn another_method_is_405_and_told_which_one_is_answered() {
    let app = TestApp::spawn(SETTINGS).await;
    for path in ["/api/v1/users/alice/disconnect", "/api/v1/tokens/x/revoke"] {
        for method in ["GET", "PUT", "DELETE"] {
            let response = app.backend(KEY, method, path, "").await;
            response.assert_error(405, "not_found");
            assert_eq!(response.header("allow"), Some("POST"), "{response:?}");
        }
    }
}
