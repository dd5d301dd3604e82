//! Where a token may stand, and what makes it a 401.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::{
    harness::{Connect, Process, Response, SECRET, TestApp, claims, now_s, sign, sign_with_secret},
    signer::{KeyFile, Signer},
};

async fn assert_accepted(connect: Connect, user: &str) {
    assert_eq!(connect.client().await.welcome["user"], user);
}

async fn assert_unauthorized(connect: Connect, why: &str) -> Response {
    match connect.attempt().await.expect("the server takes connections") {
        Ok(_) => panic!("a token was accepted: {why}"),
        Err(response) => {
            response.assert_error(401, "unauthorized");
            response
        }
    }
}

#[tokio::test]
async fn a_token_may_stand_in_the_authorization_header() {
    let app = TestApp::spawn("").await;
    assert_accepted(app.upgrade().bearer(&app.token("alice")), "alice").await;
}

#[tokio::test]
async fn a_token_may_stand_in_the_cookie() {
    let app = TestApp::spawn("").await;
    let cookies = format!("theme=dark; rookery_token={}; last=1", app.token("alice"));
    assert_accepted(app.upgrade().header("cookie", cookies), "alice").await;
}

#[tokio::test]
async fn a_token_may_stand_in_the_subprotocols_and_is_not_answered() {
    let app = TestApp::spawn("").await;
    let offer = format!("rookery.v1, bearer.{}", app.token("alice"));
    let client = app.upgrade().protocols(offer).client().await;
    assert_eq!(client.welcome["user"], "alice");
    let answer = client.wire.upgrade.header("sec-websocket-protocol");
    assert_eq!(answer, Some("rookery.v1"));
}

#[tokio::test]
async fn a_token_may_stand_in_the_query() {
    let app = TestApp::spawn("").await;
    assert_accepted(app.upgrade().query("token", &app.token("alice")), "alice").await;
}

#[tokio::test]
async fn an_upgrade_without_a_token_is_401() {
    let app = TestApp::spawn("").await;
    assert_unauthorized(app.upgrade(), "there is none").await;
}

#[tokio::test]
async fn a_bad_token_is_401_in_each_of_the_four_places() {
    let app = TestApp::spawn("").await;
    let forged = sign(
        &claims("alice", json!({})),
        Algorithm::HS256,
        &EncodingKey::from_secret(b"another secret, as long as the real one needs to be"),
        None,
    );
    let places = [
        app.upgrade().bearer(&forged),
        app.upgrade().header("cookie", format!("rookery_token={forged}")),
        app.upgrade().protocols(format!("rookery.v1, bearer.{forged}")),
        app.upgrade().query("token", &forged),
    ];
    for place in places {
        let response = assert_unauthorized(place, "its signature is forged").await;
        assert!(!response.body.contains(&forged), "a message shows a token");
    }
}

#[tokio::test]
async fn a_token_that_is_no_jwt_is_401() {
    let app = TestApp::spawn("").await;
    for garbage in ["x", "a.b.c", "....", "eyJhbGciOiJIUzI1NiJ9.e30."] {
        assert_unauthorized(app.upgrade().bearer(garbage), garbage).await;
    }
    // Far over any bound on tokens, and within what a header may be.
    assert_unauthorized(app.upgrade().bearer(&"x".repeat(20_000)), "20,000 bytes").await;
}

#[tokio::test]
async fn a_changed_payload_is_401() {
    let app = TestApp::spawn("").await;
    let (alice, mallory) = (app.token("alice"), app.token("mallory"));
    let parts: Vec<&str> = alice.split('.').collect();
    let payload = mallory.split('.').nth(1).expect("a JWT has three parts");
    let spliced = format!("{}.{payload}.{}", parts[0], parts[2]);
    assert_unauthorized(app.upgrade().bearer(&spliced), "the payload is another's").await;
}

#[tokio::test]
async fn an_algorithm_off_the_list_is_401() {
    let app = TestApp::spawn("").await;
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let other = sign(&claims("alice", json!({})), Algorithm::HS512, &secret, None);
    assert_unauthorized(app.upgrade().bearer(&other), "HS512 where HS256 is configured").await;

    // `alg: none`, with no signature: {"alg":"none"} and {"typ":"JWT","alg":"none"}.
    let payload = app.token("alice").split('.').nth(1).expect("a JWT has three parts").to_owned();
    for header in ["eyJhbGciOiJub25lIn0", "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0"] {
        let unsigned = format!("{header}.{payload}.");
        assert_unauthorized(app.upgrade().bearer(&unsigned), "alg none").await;
    }
}

#[tokio::test]
async fn every_configured_hmac_algorithm_is_accepted() {
    let app = TestApp::spawn(r#"auth.algorithms = ["HS256", "HS384", "HS512"]"#).await;
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let secret = EncodingKey::from_secret(SECRET.as_bytes());
        let token = sign(&claims("alice", json!({})), algorithm, &secret, None);
        assert_accepted(app.upgrade().bearer(&token), "alice").await;
    }
}

#[tokio::test]
async fn claims_that_do_not_hold_are_401() {
    let app = TestApp::spawn("").await;
    let now = now_s();
    let cases = [
        ("exp is past", json!({"exp": now - 1})),
        ("exp is long past", json!({"exp": 1})),
        ("exp is missing", json!({"exp": null})),
        ("exp is no number", json!({"exp": "tomorrow"})),
        ("nbf is to come", json!({"nbf": now + 600})),
        ("sub is missing", json!({"sub": null})),
        ("sub is empty", json!({"sub": ""})),
        ("sub is too long", json!({"sub": "x".repeat(129)})),
        ("sub is no string", json!({"sub": 7})),
        ("meta is over 1 KiB", json!({"meta": {"note": "x".repeat(1025)}})),
        ("grants is a list", json!({"grants": ["join"]})),
        ("grants is a string", json!({"grants": "all"})),
        ("grants of a pattern are no list", json!({"grants": {"lobby": "join"}})),
        ("grants hold no string", json!({"grants": {"lobby": [1]}})),
        ("grants hold an unknown right", json!({"grants": {"lobby": ["fly"]}})),
    ];
    for (why, extra) in cases {
        let token = app.token_with("alice", extra);
        assert_unauthorized(app.upgrade().bearer(&token), why).await;
    }
}

#[tokio::test]
async fn claims_at_their_limits_are_accepted() {
    let app = TestApp::spawn("").await;
    let longest = "x".repeat(128);
    assert_accepted(app.connect(&longest), &longest).await;
    // Characters are counted, not bytes.
    let wide = "ü".repeat(128);
    assert_accepted(app.connect(&wide), &wide).await;
    let meta = json!({"meta": "x".repeat(1022), "nbf": now_s(), "iat": now_s(), "jti": "1"});
    let token = app.token_with("alice", meta);
    assert_accepted(app.upgrade().bearer(&token), "alice").await;
}

#[tokio::test]
async fn a_token_without_exp_is_accepted_where_the_configuration_says_so() {
    let app = TestApp::spawn("auth.require_exp = false").await;
    let token = app.token_with("alice", json!({"exp": null}));
    assert_accepted(app.upgrade().bearer(&token), "alice").await;
    let past = app.token_with("alice", json!({"exp": 1}));
    assert_unauthorized(app.upgrade().bearer(&past), "exp is past").await;
}

#[tokio::test]
async fn audience_and_issuer_are_checked_where_configured() {
    let app = TestApp::spawn("auth.audience = [\"chat\"]\nauth.issuer = [\"login\"]").await;
    let good = json!({"aud": "chat", "iss": "login"});
    assert_accepted(app.upgrade().bearer(&app.token_with("alice", good)), "alice").await;
    let several = json!({"aud": ["mail", "chat"], "iss": "login"});
    assert_accepted(app.upgrade().bearer(&app.token_with("alice", several)), "alice").await;
    let cases: [(&str, Value); 4] = [
        ("aud is another", json!({"aud": "mail", "iss": "login"})),
        ("aud is missing", json!({"iss": "login"})),
        ("iss is another", json!({"aud": "chat", "iss": "evil"})),
        ("iss is missing", json!({"aud": "chat"})),
    ];
    for (why, extra) in cases {
        let token = app.token_with("alice", extra);
        assert_unauthorized(app.upgrade().bearer(&token), why).await;
    }
}

#[tokio::test]
async fn public_keys_verify_tokens_from_a_pem_file() {
    let rsa = Signer::rsa_2048();
    let (ec, ed) = (Signer::p256(), Signer::ed25519());
    let cases = [
        (&rsa, Algorithm::RS256),
        (&rsa, Algorithm::PS512),
        (&ec, Algorithm::ES256),
        (&ed, Algorithm::EdDSA),
    ];
    for (signer, algorithm) in cases {
        let file = KeyFile::new(&signer.public_pem);
        let public = file.toml();
        let settings =
            format!("auth.algorithms = [\"{algorithm:?}\"]\nauth.public_key_file = {public}");
        let app = TestApp::spawn(&settings).await;
        let token = signer.sign(algorithm, None, &claims("alice", json!({})));
        assert_accepted(app.upgrade().bearer(&token), "alice").await;

        assert_unauthorized(app.connect("alice"), "HS256 is off the list").await;
        // The old trick: the public key taken for an HMAC secret.
        let confused = EncodingKey::from_secret(signer.public_pem.as_bytes());
        let confused = sign(&claims("alice", json!({})), Algorithm::HS256, &confused, None);
        assert_unauthorized(app.upgrade().bearer(&confused), "signed with the public key").await;
    }
}

#[tokio::test]
async fn a_key_set_is_searched_by_kid() {
    let (ed, ec, rsa) = (Signer::ed25519(), Signer::p256(), Signer::rsa_2048());
    let file = KeyFile::set(&[
        ed.jwk(json!({"kid": "ed-1", "alg": "EdDSA", "use": "sig"})),
        ec.jwk(json!({"kid": "ec-1", "alg": "ES256", "use": "sig"})),
        rsa.jwk(json!({"kid": "rsa-1", "alg": "PS256", "use": "sig"})),
    ]);
    let jwks = file.toml();
    let settings =
        format!("auth.algorithms = [\"EdDSA\", \"ES256\", \"PS256\"]\nauth.jwks_file = {jwks}");
    let app = TestApp::spawn(&settings).await;
    let alice = claims("alice", json!({}));
    for (algorithm, signer, kid) in [
        (Algorithm::EdDSA, &ed, "ed-1"),
        (Algorithm::ES256, &ec, "ec-1"),
        (Algorithm::PS256, &rsa, "rsa-1"),
    ] {
        let token = signer.sign(algorithm, Some(kid), &alice);
        assert_accepted(app.upgrade().bearer(&token), "alice").await;
    }
    let unknown = ed.sign(Algorithm::EdDSA, Some("ed-2"), &alice);
    assert_unauthorized(app.upgrade().bearer(&unknown), "its kid is unknown").await;
    let crossed = ec.sign(Algorithm::ES256, Some("ed-1"), &alice);
    assert_unauthorized(app.upgrade().bearer(&crossed), "its kid names another key").await;
}

#[tokio::test]
async fn a_token_never_reaches_the_log() {
    let process = Process::spawn(&[("ROOKERY__LOG__LEVEL", "trace"), ("RUST_LOG", "trace")]).await;
    let good = process.token("alice");
    let expired = sign_with_secret(&claims("alice", json!({"exp": 1})));
    for token in [&good, &expired] {
        for connect in [
            process.upgrade().bearer(token),
            process.upgrade().header("cookie", format!("rookery_token={token}")),
            process.upgrade().protocols(format!("rookery.v1, bearer.{token}")),
            process.upgrade().query("token", token),
        ] {
            let answer = connect.attempt().await.expect("the server takes connections");
            assert_eq!(answer.is_ok(), token == &good);
        }
    }
    let mut client = process.client("alice").await;
    let refreshed = process.token_with("alice", json!({"jti": "the next one"}));
    client.ask(json!({"type": "refresh", "token": refreshed}), "refreshed").await;
    let foreign = process.token_with("bob", json!({}));
    client.refused(json!({"type": "refresh", "token": foreign}), "token_rejected").await;

    let log = process.log();
    for token in [good, expired, refreshed, foreign] {
        let signature = token.rsplit('.').next().expect("a JWT has three parts");
        let at = log.find(signature);
        assert!(
            at.is_none(),
            "a token is in the log: {:?}",
            at.map(|at| &log[at.saturating_sub(400)..at])
        );
    }
}
