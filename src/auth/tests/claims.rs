//! What a token must say, and what is made of it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Header;

use super::*;
use crate::model::RoomName;

/// A signed token with exactly this text as its payload.
fn raw(payload: &str) -> String {
    use aws_lc_rs::hmac;
    let header = serde_json::to_string(&Header::default()).unwrap();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

#[test]
fn an_identity_is_what_the_token_says() {
    let token = hs256(&claims(json!({
        "name": "Alice", "meta": {"color": "red"}, "iat": SECONDS - 1, "jti": "t-1",
        "grants": {"dash:*": ["join"]}, "unknown": [null],
    })));
    let identity = with_secret("").verify(&token, NOW).unwrap();
    assert_eq!(identity.profile.user.as_str(), "alice");
    assert_eq!(identity.profile.name.as_deref(), Some("Alice"));
    assert_eq!(identity.profile.meta.as_ref().unwrap().get(), r#"{"color":"red"}"#);
    assert_eq!(identity.expires_at, Some((SECONDS + 60) * 1_000));
    assert_eq!(identity.issued_at, Some((SECONDS - 1) * 1_000));
    assert_eq!(identity.token_id.as_deref(), Some("t-1"));
    let allows = |action, room| identity.grants.allows(action, &RoomName::parse(room).unwrap());
    assert!(allows(Action::Join, "dash:eu"));
    assert!(!allows(Action::Publish, "dash:eu") && !allows(Action::Join, "lobby"));
}

#[test]
fn the_default_grants_hold_only_without_grants() {
    let verifier = with_secret("default_grants = {\"lobby\" = [\"join\"]}");
    let lobby = RoomName::parse("lobby").unwrap();
    let allows = |changes| {
        let identity = verifier.verify(&hs256(&claims(changes)), NOW).unwrap();
        identity.grants.allows(Action::Join, &lobby)
    };
    assert!(allows(json!({})));
    assert!(!allows(json!({"grants": {}})));
    assert!(!allows(json!({"grants": {"other": ["join"]}})));
}

#[test]
fn an_end_has_no_leeway_and_is_counted_in_milliseconds() {
    let verifier = with_secret("leeway = \"1h\"");
    let at = |exp: &str, now| verifier.verify(&raw(&format!(r#"{{"sub":"a","exp":{exp}}}"#)), now);
    assert_eq!(at("1700000000", 1_699_999_999_999).unwrap().expires_at, Some(1_700_000_000_000));
    assert_eq!(at("1700000000", 1_700_000_000_000).unwrap_err(), AuthError::Expired);
    assert_eq!(at("1700000000.25", 1_700_000_000_249).unwrap().expires_at, Some(1_700_000_000_250));
    assert_eq!(at("1700000000.25", 1_700_000_000_250).unwrap_err(), AuthError::Expired);
    assert_eq!(at("1.7e9", 1_699_999_999_999).unwrap().expires_at, Some(1_700_000_000_000));
    for past in ["0", "-1", "-1.5", "-1e300", "0.0001", "-9223372036854775808"] {
        assert_eq!(at(past, NOW).unwrap_err(), AuthError::Expired, "{past}");
    }
    assert!(at("253402300799", NOW).is_ok());
}

#[test]
fn an_end_that_is_no_time_is_refused() {
    let verifier = with_secret("");
    for exp in [
        "null",
        "true",
        "\"1800000000\"",
        "[1800000000]",
        "{}",
        "253402300800",
        "1800000000000",
        "18446744073709551615",
        "1e300",
        "9223372036854775808",
        "253402300800.5",
        "1e400",
        "NaN",
        "0x10",
        "01",
    ] {
        let token = raw(&format!(r#"{{"sub":"a","exp":{exp}}}"#));
        let cause = refused(&verifier, &token);
        // What is no JSON at all is refused as such.
        assert!(cause == "claim" || cause == "malformed", "{exp}: {cause}");
    }
}

#[test]
fn a_token_without_an_end_needs_the_configuration_to_say_so() {
    let token = hs256(&claims(json!({"exp": null})));
    assert_eq!(refused(&with_secret(""), &token), "claim");
    let lenient = with_secret("require_exp = false");
    assert_eq!(lenient.verify(&token, NOW).unwrap().expires_at, None);
    assert_eq!(refused(&lenient, &hs256(&claims(json!({"exp": SECONDS})))), "expired");
    assert_eq!(refused(&lenient, &raw(r#"{"sub":"a","exp":null}"#)), "claim");
}

#[test]
fn a_token_holds_from_nbf_and_iat_on_with_leeway() {
    let strict = with_secret("");
    let lenient = with_secret("leeway = \"5s\"");
    for claim in ["nbf", "iat"] {
        let token = |seconds: u64| hs256(&claims(json!({claim: seconds})));
        assert!(strict.verify(&token(SECONDS), NOW).is_ok());
        assert_eq!(refused(&strict, &token(SECONDS + 1)), "not_yet");
        assert!(lenient.verify(&token(SECONDS + 5), NOW).is_ok());
        assert_eq!(refused(&lenient, &token(SECONDS + 6)), "not_yet");
        for bad in ["null", "\"1\"", "false", "1e300"] {
            let token = raw(&format!(r#"{{"sub":"a","exp":1800000000,"{claim}":{bad}}}"#));
            assert_eq!(refused(&strict, &token), "claim", "{claim} {bad}");
        }
    }
}

#[test]
fn an_audience_counts_where_one_is_configured() {
    let any = with_secret("");
    let ours = with_secret("audience = [\"chat\", \"dash\"]");
    for (aud, accepted) in [
        (json!("chat"), true),
        (json!("dash"), true),
        (json!(["mail", "dash"]), true),
        (json!("mail"), false),
        (json!("chat "), false),
        (json!(["mail"]), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        let token = hs256(&claims(json!({"aud": aud})));
        assert!(any.verify(&token, NOW).is_ok(), "{aud}");
        match accepted {
            true => assert!(ours.verify(&token, NOW).is_ok(), "{aud}"),
            false => assert_eq!(refused(&ours, &token), "audience", "{aud}"),
        }
    }
    for aud in ["null", "5", "{\"chat\":1}", "[5]", "[null]"] {
        let token = raw(&format!(r#"{{"sub":"a","exp":1800000000,"aud":{aud}}}"#));
        assert_eq!(refused(&ours, &token), "claim", "{aud}");
    }
}

#[test]
fn an_issuer_counts_where_one_is_configured() {
    let any = with_secret("");
    let ours = with_secret("issuer = \"https://id.example\"");
    for (iss, cause) in [
        (json!("https://id.example"), None),
        (json!("https://id.example/"), Some("issuer")),
        (json!("https://evil.example"), Some("issuer")),
        (json!(null), Some("issuer")),
        (json!(["https://id.example"]), Some("claim")),
    ] {
        let token = hs256(&claims(json!({"iss": iss})));
        assert_eq!(any.verify(&token, NOW).is_ok(), cause != Some("claim"), "{iss}");
        match cause {
            None => assert!(ours.verify(&token, NOW).is_ok(), "{iss}"),
            Some(cause) => assert_eq!(refused(&ours, &token), cause, "{iss}"),
        }
    }
}

#[test]
fn a_subject_is_1_to_128_characters() {
    let verifier = with_secret("");
    for good in ["a", "user|42", "ä@example.com", &"é".repeat(128)] {
        let identity = verifier.verify(&hs256(&claims(json!({"sub": good}))), NOW).unwrap();
        assert_eq!(identity.profile.user.as_str(), good);
    }
    for bad in [json!(null), json!(""), json!("é".repeat(129)), json!("a\nb"), json!(5)] {
        assert_eq!(refused(&verifier, &hs256(&claims(json!({"sub": bad})))), "claim", "{bad}");
    }
    assert_eq!(refused(&verifier, &raw(r#"{"sub":null,"exp":1800000000}"#)), "claim");
}

#[test]
fn a_name_is_made_fit_to_be_shown() {
    let verifier = with_secret("");
    for (name, shown) in [
        (json!("Alice"), Some("Alice".to_owned())),
        (json!(" A\u{7}l\nice "), Some("Alice".to_owned())),
        (json!("x".repeat(500)), Some("x".repeat(128))),
        (json!(""), None),
        (json!(null), None),
    ] {
        let identity = verifier.verify(&hs256(&claims(json!({"name": name}))), NOW).unwrap();
        assert_eq!(identity.profile.name.as_deref(), shown.as_deref());
    }
    assert_eq!(refused(&verifier, &hs256(&claims(json!({"name": 5})))), "claim");
}

#[test]
fn meta_is_kept_as_written_and_at_most_1_kib() {
    let verifier = with_secret("");
    let meta = |json: &str| {
        let token = raw(&format!(r#"{{"sub":"a","exp":1800000000,"meta":{json}}}"#));
        verifier
            .verify(&token, NOW)
            .map(|identity| identity.profile.meta.as_ref().map(|meta| meta.get().to_owned()))
    };
    assert_eq!(meta("null").unwrap(), None);
    for (written, kept) in [
        ("1e400", "1e400"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("{ \"b\" : 1 ,\n\t\"a\" : [ ] }", r#"{"b":1,"a":[]}"#),
        (r#""two  words \" \\ ""#, r#""two  words \" \\ ""#),
    ] {
        assert_eq!(meta(written).unwrap().as_deref(), Some(kept));
    }
    assert!(meta(&format!("\"{}\"", "x".repeat(1_022))).is_ok());
    assert_eq!(meta(&format!("\"{}\"", "x".repeat(1_023))).unwrap_err().cause(), "claim");
    assert!(meta(&format!("[{}1]", " ".repeat(2_000))).is_ok(), "spaces do not count");
}

#[test]
fn malformed_grants_are_refused() {
    let verifier = with_secret("");
    for grants in [
        "null",
        "[]",
        "\"*\"",
        "5",
        r#"{"*":"join"}"#,
        r#"{"*":["fly"]}"#,
        r#"{"*":[null]}"#,
        r#"{"*":null}"#,
        r#"{"":["join"]}"#,
        r#"{"*":["join"],"*":["set"]}"#,
    ] {
        let token = raw(&format!(r#"{{"sub":"a","exp":1800000000,"grants":{grants}}}"#));
        assert_eq!(refused(&verifier, &token), "claim", "{grants}");
    }
}

#[test]
fn a_claim_written_twice_is_refused() {
    let verifier = with_secret("");
    for (claim, value) in [
        ("sub", "\"root\""),
        ("exp", "1900000000"),
        ("nbf", "1"),
        ("iat", "1"),
        ("aud", "\"x\""),
        ("iss", "\"x\""),
        ("jti", "\"x\""),
        ("name", "\"x\""),
        ("meta", "1"),
        ("grants", "{}"),
    ] {
        let twice = format!(r#""{claim}":{value},"{claim}":{value}"#);
        let payload = match claim {
            "sub" => format!(r#"{{"exp":1800000000,{twice}}}"#),
            "exp" => format!(r#"{{"sub":"a",{twice}}}"#),
            _ => format!(r#"{{"sub":"a","exp":1800000000,{twice}}}"#),
        };
        let cause = refused(&verifier, &raw(&payload));
        assert!(cause == "claim" || cause == "malformed", "{claim}: {cause}");
    }
}
