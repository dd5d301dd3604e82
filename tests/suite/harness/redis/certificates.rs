use std::{path::PathBuf, process::Command};

use crate::harness::Directory;

/// An authority of one test, and a certificate of `localhost` that it signed.
pub struct Certificates {
    directory: Directory,
}

impl Certificates {
    pub fn new() -> Self {
        let made = Self { directory: Directory::new() };
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE";
        made.directory.write("extensions", extensions);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -days 2 -subj /CN=authority -keyout authority.key -out authority.pem"
        ));
        made.openssl(&format!(
            "req -new {key} -subj /CN=localhost -keyout server.key -out server.csr"
        ));
        made.openssl(
            "x509 -req -days 2 -in server.csr -extfile extensions -CA authority.pem \
             -CAkey authority.key -CAcreateserial -out server.pem",
        );
        made
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
