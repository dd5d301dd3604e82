//! The files of the certificate: at the start, and on SIGHUP.

use std::{fs, process::Output};

use rustls::pki_types::CertificateDer;

use crate::{
    harness::{
        Certificates, Directory, ECDSA, Endpoint, Process, RSA, eventually, rookery, way_of,
    },
    metrics::exposition::Exposition,
};

async fn spawn(certificates: &Certificates) -> Process {
    let environment = certificates.environment();
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Process::spawn(&environment).await
}

/// The certificate that a client gets which was never here before.
async fn shown(node: &Process, certificates: &Certificates) -> CertificateDer<'static> {
    let server = Endpoint { way: way_of(certificates.client()), ..**node };
    let wire = server.connect("onlooker").wire().await;
    wire.tls().peer_certificates().expect("a certificate")[0].clone()
}

async fn logged(node: &Process, what: &str) {
    eventually(what, async || node.log().contains(what).then_some(())).await;
}

#[tokio::test]
async fn on_sighup_new_handshakes_get_the_new_certificate_and_nobody_is_cut() {
    let certificates = Certificates::new();
    let node = spawn(&certificates).await.by(certificates.way());
    logged(&node, "the certificate holds for").await;
    let first = certificates.der();
    let mut alice = node.member("alice", "lobby").await;
    let mut listener = node.listener("bob", &["lobby"]).await;
    let expiry = "rookery_tls_certificate_expiry_timestamp_seconds";
    let ends = Exposition::of(&node).await.get(expiry);
    assert!(ends > crate::harness::now_s() as f64, "{ends}");

    // Another key, and of another kind.
    certificates.issue(RSA, 90);
    assert_eq!(shown(&node, &certificates).await, first, "until it is told");
    node.signal("HUP");
    logged(&node, "read the certificate again").await;
    logged(&node, "the certificate holds for 89 days").await;
    let second = certificates.der();
    assert_eq!(shown(&node, &certificates).await, second);
    assert!(Exposition::of(&node).await.get(expiry) > ends + 80.0 * 86_400.0);
    alice.chat("lobby", "still here").await;
    assert_eq!(listener.expect("chat").await.data["content"], "still here");

    // The new key, and not yet its certificate.
    let [cert, _] = certificates.localhost();
    let former = fs::read(&cert).unwrap();
    certificates.issue(ECDSA, 60);
    fs::write(&cert, former).unwrap();
    node.signal("HUP");
    logged(&node, "the certificate stays as it was: tls.key: got").await;
    fs::write(&cert, "nonsense").unwrap();
    node.signal("HUP");
    logged(&node, "the certificate stays as it was: tls.cert: got").await;
    assert_eq!(shown(&node, &certificates).await, second);
    alice.chat("lobby", "and still").await;
}

#[tokio::test]
async fn without_a_certificate_sighup_does_nothing() {
    let node = Process::spawn(&[]).await;
    let mut alice = node.member("alice", "lobby").await;
    node.signal("HUP");
    logged(&node, "there is no certificate").await;
    alice.chat("lobby", "still here").await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_warned_of() {
    let node = spawn(&Certificates::new()).await;
    eventually("a warning", async || {
        node.log()
            .lines()
            .any(|line| line.contains("WARN") && line.contains("1 days"))
            .then_some(())
    })
    .await;
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start_and_by_check() {
    let (own, other) = (Certificates::new(), Certificates::of(RSA));
    let directory = Directory::new();
    let [cert, key] = own.localhost().map(|path| path.display().to_string());
    let [_, others_key] = other.localhost().map(|path| path.display().to_string());
    let empty = directory.write("empty.pem", "").display().to_string();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = directory.write("encrypted.pem", encrypted).display().to_string();
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let odd = directory.write("odd.pem", odd).display().to_string();
    for (cert, key, told) in [
        (
            &cert,
            &others_key,
            format!("tls.key: got {others_key:?}, expected the key of the certificate in {cert:?}"),
        ),
        (&empty, &key, format!("tls.cert: got {empty:?}, expected certificates in PEM")),
        (&key, &key, format!("tls.cert: got {key:?}, expected certificates in PEM")),
        (&odd, &key, format!("tls.cert: got {odd:?}, expected an X.509 certificate")),
        (&cert, &empty, format!("tls.key: got {empty:?}, expected a private key in PEM")),
        (
            &cert,
            &encrypted,
            format!("tls.key: got {encrypted:?}, expected a private key without a passphrase"),
        ),
        (
            &cert,
            &"/not/there.pem".to_owned(),
            "tls.key: got \"/not/there.pem\", expected a readable file (No such".to_owned(),
        ),
    ] {
        for arguments in [&["--check"][..], &[]] {
            let environment = [
                ("ROOKERY__TLS__CERT", cert.as_str()),
                ("ROOKERY__TLS__KEY", key.as_str()),
                ("ROOKERY__SERVER__LISTEN", "127.0.0.1:0"),
            ];
            let output: Output = rookery(&directory, arguments, &environment);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(error.contains(&told), "{error} is not {told}");
        }
    }
    let environment = [("ROOKERY__TLS__CERT", cert.as_str()), ("ROOKERY__TLS__KEY", key.as_str())];
    assert!(rookery(&directory, &["--check"], &environment).status.success());
}
