//! Tokens this server signs itself.

use std::{collections::HashSet, time::Duration};

use serde_json::value::RawValue;

use super::*;
use crate::model::{Code, RoomName, UserId};

fn minter(toml: &str) -> Result<Minter, String> {
    let settings = Settings::from_toml(&format!("[auth]\n{toml}")).unwrap();
    Minter::new(&settings.auth).map_err(|error| error.to_string())
}

#[test]
fn a_minted_token_is_accepted_by_whoever_has_the_secret() {
    let toml = format!(
        "secret = \"{SECRET}\"\nalgorithms = [\"HS384\"]\naudience = [\"chat\"]\nissuer = [\"us\"]"
    );
    let user = UserId::parse("alice").unwrap();
    let grants = serde_json::from_str(r#"{"lobby": ["join"]}"#).unwrap();
    let meta = RawValue::from_string("{\"a\": 1}".to_owned()).unwrap();
    let token = NewToken {
        name: Some("Alice"),
        grants: Some(&grants),
        meta: Some(&meta),
        ..NewToken::new(&user, Duration::from_millis(1_500))
    };
    let token = minter(&toml).unwrap().mint(&token, NOW).unwrap();
    let identity = verifier(&toml).verify(&token, NOW).unwrap();
    assert_eq!(identity.profile.user, user);
    assert_eq!(identity.profile.name.as_deref(), Some("Alice"));
    assert_eq!(identity.profile.meta.as_ref().unwrap().get(), "{\"a\":1}");
    assert_eq!(identity.expires_at, Some(NOW + 1_500));
    assert_eq!(identity.issued_at, Some(NOW));
    assert!(identity.grants.allows(Action::Join, &RoomName::parse("lobby").unwrap()));
    assert!(!identity.grants.allows(Action::Join, &RoomName::parse("other").unwrap()));
}

#[test]
fn nothing_is_minted_that_no_server_would_accept() {
    assert_eq!(
        minter("").err().unwrap(),
        "auth.secret: got an empty value, expected the secret of the server that is to accept \
         the token"
    );
    let file = KeyFile::new(&Signer::p256().public_pem);
    let toml = format!(
        "secret = \"{SECRET}\"\nalgorithms = [\"ES256\"]\npublic_key_file = {}",
        file.toml()
    );
    let error = minter(&toml).err().unwrap();
    assert!(error.starts_with("auth.algorithms: got [ES256], expected HS256"), "{error}");
    assert!(verifier(&toml).minter().is_none());
}

#[test]
fn a_guest_gets_an_identity_nobody_else_has() {
    let verifier = with_secret("guest_ttl = \"2h\"\naudience = [\"chat\"]");
    let minter = verifier.minter().unwrap();
    let mut seen = HashSet::new();
    for (name, slug) in [
        ("Alice", "alice-"),
        ("  Alice B. Carol ", "alice-b-carol-"),
        ("Ünal", "nal-"),
        ("日本", "guest-"),
        ("<script>", "script-"),
        (&"x".repeat(64), "xxxxxxxxxxxxxxxxxxxxxxxx-"),
        (&"é".repeat(64), "guest-"),
    ] {
        for _ in 0..2 {
            let guest = minter.guest(name, NOW).unwrap();
            let random = guest.user.as_str().strip_prefix(slug).unwrap();
            assert_eq!(random.len(), 16);
            assert!(seen.insert(guest.user.clone()));
            let identity = verifier.verify(&guest.token, NOW).unwrap();
            assert_eq!(identity.profile.user, guest.user);
            assert_eq!(identity.profile.name.as_deref(), Some(name.trim()));
            assert_eq!(identity.expires_at, Some(guest.expires_at));
            assert_eq!(guest.expires_at, NOW + 2 * 3_600_000);
        }
    }
}

#[test]
fn a_guest_needs_a_name_that_can_be_shown() {
    let verifier = with_secret("");
    for bad in ["", "   ", "a\u{0}b", "a\nb", &"é".repeat(65)] {
        let problem = verifier.minter().unwrap().guest(bad, NOW).err().unwrap();
        assert_eq!(problem.code, Code::BadMessage);
        assert!(problem.message.starts_with("name: got "), "{}", problem.message);
    }
}
