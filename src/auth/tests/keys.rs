//! Which key and which algorithm count.

use aws_lc_rs::rsa::KeySize;
use jsonwebtoken::{Algorithm, Header};

use super::*;

/// A verifier that accepts RS256, with this public key.
fn with_rs256(signer: &Signer) -> Verifier {
    let file = KeyFile::new(&signer.public_pem);
    verifier(&format!("algorithms = [\"RS256\"]\npublic_key_file = {}", file.toml()))
}

#[test]
fn every_algorithm_is_accepted_with_its_key() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    for (signer, algorithms) in [
        (Signer::rsa_2048(), vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        (Signer::p256(), vec![ES256]),
        (Signer::p384(), vec![ES384]),
        (Signer::ed25519(), vec![EdDSA]),
    ] {
        let names: Vec<String> = algorithms.iter().map(|name| format!("{name:?}")).collect();
        let pem = KeyFile::new(&signer.public_pem);
        let set = KeyFile::set(&[signer.jwk(json!({"kid": "one"}))]);
        let from_pem =
            verifier(&format!("algorithms = {names:?}\npublic_key_file = {}", pem.toml()));
        let from_set = verifier(&format!("algorithms = {names:?}\njwks_file = {}", set.toml()));
        for algorithm in algorithms {
            let token = signer.sign(algorithm, Some("one"), &claims(json!({})));
            for verifier in [&from_pem, &from_set] {
                let identity = verifier.verify(&token, NOW).unwrap();
                assert_eq!(identity.profile.user.as_str(), "alice", "{algorithm:?}");
            }
        }
    }
}

#[test]
fn every_hmac_is_accepted_where_it_is_configured_and_nowhere_else() {
    let all = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    for configured in all {
        let verifier = with_secret(&format!("algorithms = [\"{configured:?}\"]"));
        for algorithm in all {
            let token = signed(&Header::new(algorithm), &claims(json!({})), SECRET.as_bytes());
            match algorithm == configured {
                true => assert!(verifier.verify(&token, NOW).is_ok()),
                false => assert_eq!(refused(&verifier, &token), "algorithm"),
            }
        }
    }
}

#[test]
fn an_algorithm_of_the_key_that_is_not_configured_is_refused() {
    let signer = Signer::rsa_2048();
    let verifier = with_rs256(&signer);
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = signer.sign(algorithm, None, &claims(json!({})));
        assert_eq!(refused(&verifier, &token), "algorithm");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let signer = Signer::rsa_2048();
    let pem = KeyFile::new(&signer.public_pem);
    let only_public = with_rs256(&signer);
    let both = with_secret(&format!(
        "algorithms = [\"HS256\", \"RS256\"]\npublic_key_file = {}",
        pem.toml()
    ));
    for secret in [signer.public_pem.as_bytes(), signer.public_pem.trim().as_bytes()] {
        let token = signed(&Header::default(), &claims(json!({})), secret);
        assert_eq!(refused(&only_public, &token), "algorithm");
        assert_eq!(refused(&both, &token), "signature");
    }
    assert!(both.verify(&hs256(&claims(json!({}))), NOW).is_ok());
    let token = signer.sign(Algorithm::RS256, None, &claims(json!({})));
    assert!(both.verify(&token, NOW).is_ok());
}

#[test]
fn a_key_id_chooses_its_key_and_no_other() {
    let (first, second) = (Signer::p256(), Signer::p256());
    let set = KeyFile::set(&[first.jwk(json!({"kid": "1"})), second.jwk(json!({"kid": "2"}))]);
    let verifier = verifier(&format!("algorithms = [\"ES256\"]\njwks_file = {}", set.toml()));
    let token = |signer: &Signer, kid| signer.sign(Algorithm::ES256, kid, &claims(json!({})));
    assert!(verifier.verify(&token(&first, Some("1")), NOW).is_ok());
    assert!(verifier.verify(&token(&second, Some("2")), NOW).is_ok());
    assert!(verifier.verify(&token(&second, None), NOW).is_ok(), "without an id all are tried");
    assert_eq!(refused(&verifier, &token(&first, Some("2"))), "signature");
    for unknown in ["3", "", "../../etc/passwd", "' OR 1=1", "1\u{0}"] {
        assert_eq!(refused(&verifier, &token(&first, Some(unknown))), "key");
    }
    assert_eq!(refused(&verifier, &token(&Signer::p256(), None)), "signature");
}

#[test]
fn a_key_keeps_to_what_its_set_says_of_it() {
    let (signer, other) = (Signer::rsa_2048(), Signer::p384());
    let pem = KeyFile::new(&Signer::rsa_2048().public_pem);
    let set = KeyFile::set(&[
        signer.jwk(json!({"kid": "ps", "alg": "PS256"})),
        signer.jwk(json!({"kid": "enc", "use": "enc"})),
        signer.jwk(json!({"kid": "oaep", "alg": "RSA-OAEP"})),
        signer.jwk(json!({"kid": "wrap", "key_ops": ["wrapKey"]})),
        other.jwk(json!({"kid": "ec"})),
        json!({"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}),
        json!({"kty": "OKP", "kid": "x", "crv": "X25519", "x": "AAAA"}),
        json!({"kty": "new", "kid": "new"}),
    ]);
    let verifier = with_secret(&format!(
        "algorithms = [\"HS256\", \"RS256\", \"PS256\", \"ES384\", \"RS512\"]\njwks_file = {}\npublic_key_file = {}",
        set.toml(),
        pem.toml(),
    ));
    let token = |algorithm, kid| signer.sign(algorithm, Some(kid), &claims(json!({})));
    assert!(verifier.verify(&token(Algorithm::PS256, "ps"), NOW).is_ok());
    assert_eq!(refused(&verifier, &token(Algorithm::RS256, "ps")), "signature");
    for kid in ["enc", "oaep", "wrap"] {
        assert_eq!(refused(&verifier, &token(Algorithm::PS256, kid)), "signature", "{kid}");
    }
    let header = Header { kid: Some("oct".to_owned()), ..Header::default() };
    let token = signed(&header, &claims(json!({})), b"secret-secret-secret-secret-secret");
    assert_eq!(refused(&verifier, &token), "signature");
}

#[test]
fn a_curve_is_bound_to_its_algorithm() {
    let signer = Signer::p256();
    let file = KeyFile::new(&signer.public_pem);
    let toml = format!("algorithms = [\"ES384\"]\npublic_key_file = {}", file.toml());
    let auth = Settings::from_toml(&format!("[auth]\n{toml}")).unwrap().auth;
    assert!(Verifier::new(&auth).is_err());
}

#[test]
fn a_file_without_a_fitting_key_stops_the_start() {
    let (rsa, ed) = (Signer::rsa_2048(), Signer::ed25519());
    let small = Signer::rsa(KeySize::Rsa2048);
    let cut = small.public_pem.replace("MIIB", "MIIC");
    for (text, algorithm, expected) in [
        ("", "RS256", "a public RSA, EC or Ed25519 key in PEM"),
        (cut.as_str(), "RS256", "a public RSA, EC or Ed25519 key in PEM"),
        (&rsa.private_pem, "RS256", "a public key; this is a private one"),
        (&ed.private_pem, "EdDSA", "a public key; this is a private one"),
        (&ed.public_pem, "RS256", "a key for one of [RS256]"),
        (&rsa.public_pem, "ES256", "a key for one of [ES256]"),
    ] {
        let file = KeyFile::new(text);
        let toml =
            format!("[auth]\nalgorithms = [\"{algorithm}\"]\npublic_key_file = {}", file.toml());
        let error =
            Verifier::new(&Settings::from_toml(&toml).unwrap().auth).err().unwrap().to_string();
        assert!(error.starts_with("auth.public_key_file: got \""), "{error}");
        assert!(error.contains(expected) && !error.contains("MII"), "{error}");
    }
    for (text, expected) in [
        ("{}", "a JSON Web Key Set"),
        ("not json", "a JSON Web Key Set"),
        (r#"{"keys": []}"#, "a public key for one of [ES256] in it"),
        (r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#, "a public key for one of [ES256] in it"),
    ] {
        let file = KeyFile::new(text);
        let toml = format!("[auth]\nalgorithms = [\"ES256\"]\njwks_file = {}", file.toml());
        let error =
            Verifier::new(&Settings::from_toml(&toml).unwrap().auth).err().unwrap().to_string();
        assert!(error.starts_with("auth.jwks_file: got \"") && error.contains(expected), "{error}");
    }
    let missing = "[auth]\nalgorithms = [\"ES256\"]\njwks_file = \"no/such/file\"";
    let error =
        Verifier::new(&Settings::from_toml(missing).unwrap().auth).err().unwrap().to_string();
    assert!(error.contains("auth.jwks_file: got \"no/such/file\""), "{error}");
}

#[test]
fn an_algorithm_left_without_a_key_stops_the_start() {
    let file = KeyFile::new(&Signer::p256().public_pem);
    let toml =
        format!("[auth]\nalgorithms = [\"ES256\", \"RS256\"]\npublic_key_file = {}", file.toml());
    let error = Verifier::new(&Settings::from_toml(&toml).unwrap().auth).err().unwrap().to_string();
    assert_eq!(
        error,
        "auth.algorithms: got RS256, expected a key for it in auth.public_key_file or auth.jwks_file"
    );
}

#[test]
fn without_a_secret_each_verifier_makes_its_own() {
    let (one, other) = (verifier(""), verifier(""));
    let user = crate::model::UserId::parse("alice").unwrap();
    let token = NewToken::new(&user, std::time::Duration::from_secs(60));
    let token = one.minter().unwrap().mint(&token, NOW).unwrap();
    assert!(one.verify(&token, NOW).is_ok());
    assert_eq!(refused(&other, &token), "signature");
}

#[test]
fn only_so_many_keys_are_tried() {
    let signers: Vec<Signer> = (0..10).map(|_| Signer::ed25519()).collect();
    let keys: Vec<Value> = signers
        .iter()
        .zip(0..)
        .map(|(signer, kid): (_, u32)| signer.jwk(json!({"kid": kid.to_string()})))
        .collect();
    let set = KeyFile::set(&keys);
    let verifier = verifier(&format!("algorithms = [\"EdDSA\"]\njwks_file = {}", set.toml()));
    let last = signers.last().unwrap();
    let token = |kid| last.sign(Algorithm::EdDSA, kid, &claims(json!({})));
    assert!(verifier.verify(&token(Some("9")), NOW).is_ok());
    assert_eq!(refused(&verifier, &token(None)), "signature");
}
