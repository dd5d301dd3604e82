//! Tokens nobody signed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn encoded(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A token with this text as its header, signed as if it were right.
fn with_header(header: &str, secret: &str) -> String {
    use aws_lc_rs::hmac;
    let message = format!("{}.{}", encoded(header), encoded(&claims(json!({})).to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let verifier = with_secret("");
    let payload = encoded(&claims(json!({})).to_string());
    for alg in ["none", "None", "NONE", "nOnE", "", "HS1", "ES512"] {
        let header = encoded(&format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        assert_eq!(refused(&verifier, &format!("{header}.{payload}.")), "algorithm", "{alg}");
        assert_eq!(refused(&verifier, &format!("{header}.{payload}.AAAA")), "algorithm", "{alg}");
    }
    let header = encoded(r#"{"alg":"HS256"}"#);
    assert_eq!(refused(&verifier, &format!("{header}.{payload}.")), "signature");
    let stripped = hs256(&claims(json!({}))).rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(refused(&verifier, &stripped), "malformed");
}

#[test]
fn a_header_is_read_strictly_and_brings_no_key() {
    let verifier = with_secret("");
    for (header, cause) in [
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "critical"),
        (r#"{"alg":"HS256","crit":[]}"#, "critical"),
        (r#"{"alg":"HS256","alg":"HS256"}"#, "malformed"),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, "malformed"),
        (r#"{"alg":"HS256","kid":5}"#, "malformed"),
        (r#"{"alg":["HS256"]}"#, "malformed"),
        (r#"{"typ":"JWT"}"#, "malformed"),
        (r#"["HS256"]"#, "malformed"),
        ("{}", "malformed"),
        ("", "malformed"),
    ] {
        assert_eq!(refused(&verifier, &with_header(header, SECRET)), cause, "{header}");
    }
    let own = r#"{"alg":"HS256","jwk":{"kty":"oct","k":"b3du"},"jku":"https://evil.example/keys","x5u":"https://evil.example/c"}"#;
    assert_eq!(refused(&verifier, &with_header(own, "own")), "signature");
    assert!(verifier.verify(&with_header(r#"{"alg":"HS256","kid":"any"}"#, SECRET), NOW).is_ok());
}

#[test]
fn what_is_no_token_is_refused() {
    let verifier = with_secret("");
    let good = hs256(&claims(json!({})));
    let deep = format!("{}.{}.AAAA", encoded(r#"{"alg":"HS256"}"#), encoded(&"[".repeat(3_000)));
    let nested = encoded(&format!(r#"{{"alg":"HS256","x":{}}}"#, "[".repeat(3_000)));
    for bad in [
        "",
        ".",
        "..",
        "...",
        "alice",
        "a.b.c",
        "ä.ö.ü",
        &format!("{good}."),
        &format!(".{good}"),
        &format!("{good}.{good}"),
        &format!("{good}="),
        &format!("{good} "),
        &good.replacen('.', "=.", 1),
        &format!("{nested}.e30.AAAA"),
    ] {
        assert_eq!(refused(&verifier, bad), "malformed", "{bad}");
    }
    assert_eq!(refused(&verifier, &deep), "signature");
    for payload in ["", "{", "null", "[]", "\"alice\"", "5", "{\"sub\":\"alice\"}{}", "\u{0}"] {
        use aws_lc_rs::hmac;
        let message = format!("{}.{}", encoded(r#"{"alg":"HS256"}"#), encoded(payload));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
        assert_eq!(refused(&verifier, &format!("{message}.{signature}")), "malformed", "{payload}");
    }
}

#[test]
fn a_long_token_is_refused_unread() {
    let verifier = with_secret("token_bytes = 400");
    let long = hs256(&claims(json!({"name": "x".repeat(400)})));
    assert_eq!(refused(&verifier, &long), "too_long");
    assert_eq!(refused(&verifier, &"x".repeat(1_000_000)), "too_long");
    assert!(verifier.verify(&hs256(&claims(json!({}))), NOW).is_ok());
}

proptest! {
    #[test]
    fn no_text_is_accepted_by_chance(text in "[a-zA-Z0-9_.=-]{0,200}|.{0,60}") {
        prop_assert!(with_secret("").verify(&text, NOW).is_err());
    }

    #[test]
    fn a_token_changed_anywhere_is_refused(place in any::<prop::sample::Index>(), to in "[a-zA-Z0-9_.-]") {
        let good = hs256(&claims(json!({"name": "Alice", "grants": {"*": ["join"]}})));
        let place = place.index(good.len());
        let changed = format!("{}{to}{}", &good[..place], &good[place + 1..]);
        prop_assume!(changed != good);
        prop_assert!(with_secret("").verify(&changed, NOW).is_err());
    }
}
