use std::{fs, path::PathBuf, process::Command, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Directory, Way};

/// An authority of one test, and a certificate of `localhost` that it signed.
pub struct Certificates {
    directory: Directory,
}

/// Keys that certificates are made for.
pub const ECDSA: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
pub const RSA: &str = "-newkey rsa:2048 -nodes";

impl Certificates {
    pub fn new() -> Self {
        Self::of(ECDSA)
    }

    /// The same where the certificate's key is another than that of ECDSA.
    pub fn of(key: &str) -> Self {
        let made = Self { directory: Directory::new() };
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE";
        made.directory.write("extensions", extensions);
        made.openssl(&format!(
            "req -x509 {ECDSA} -days 2 -subj /CN=authority -keyout authority.key -out authority.pem"
        ));
        made.issue(key, 2);
        made
    }

    /// Another certificate of `localhost` in the place of the former one.
    pub fn issue(&self, key: &str, days: u32) {
        self.openssl(&format!(
            "req -new {key} -subj /CN=localhost -keyout server.key -out server.csr"
        ));
        self.openssl(&format!(
            "x509 -req -days {days} -in server.csr -extfile extensions -CA authority.pem \
             -CAkey authority.key -CAcreateserial -out server.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .output()
            .expect("openssl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {errors}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The authority's own certificate, as `SSL_CERT_FILE` names it to a client.
    pub fn authority(&self) -> String {
        self.path("authority.pem").display().to_string()
    }

    /// The certificate of `localhost` and its key, in two files.
    pub fn localhost(&self) -> [PathBuf; 2] {
        [self.path("server.pem"), self.path("server.key")]
    }

    /// What a node is told to speak TLS with them.
    pub fn settings(&self) -> String {
        let [cert, key] = self.localhost();
        format!("tls.cert = {cert:?}\ntls.key = {key:?}\n")
    }

    /// The same for a node in a process of its own.
    pub fn environment(&self) -> Vec<(String, String)> {
        let [cert, key] = self.localhost().map(|path| path.display().to_string());
        vec![("ROOKERY__TLS__CERT".to_owned(), cert), ("ROOKERY__TLS__KEY".to_owned(), key)]
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> ClientConfig {
        self.client_of(rustls::ALL_VERSIONS)
    }

    /// The same with these versions of TLS.
    pub fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.path("authority.pem"));
        roots.add(authority.expect("a certificate")).expect("an authority");
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider knows these versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// How tests speak to a node that has them.
    pub fn way(&self) -> Way {
        way_of(self.client())
    }

    /// The certificate as it is sent.
    pub fn der(&self) -> CertificateDer<'static> {
        let pem = fs::read(self.path("server.pem")).expect("the certificate was made");
        CertificateDer::from_pem_slice(&pem).expect("a certificate")
    }

    /// What a Redis server is started with.
    pub(super) fn arguments(&self) -> Vec<String> {
        let file = |name: &str| self.path(name).display().to_string();
        [
            ["--tls-cert-file".to_owned(), file("server.pem")],
            ["--tls-key-file".to_owned(), file("server.key")],
            ["--tls-ca-cert-file".to_owned(), file("authority.pem")],
            ["--tls-auth-clients".to_owned(), "no".to_owned()],
        ]
        .concat()
    }
}

/// How tests speak to a node as this client.
pub fn way_of(client: ClientConfig) -> Way {
    Way::Tls(Box::leak(Box::new(Arc::new(client))))
}
