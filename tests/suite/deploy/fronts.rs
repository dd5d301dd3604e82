//! The configurations of `deploy` with the ports of a test.

use std::{fs, process::Command};

use super::{changed, path, read};
use crate::harness::{Certificates, Directory, Process, Proxy, free_port, program_of_servers};

/// The nodes that stand in the files.
const NODES: [&str; 2] = ["10.0.0.11:8080", "10.0.0.12:8080"];

/// A configuration for clients to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nginx/rookery.conf`, within an `nginx.conf` as distributions have it.
    Nginx,
    /// `compose/nginx.conf`.
    NginxOfCompose,
    /// `nginx/two-nodes.conf`.
    NginxOfTwoNodes,
    /// `haproxy/haproxy.cfg`.
    Haproxy,
}

/// A proxy whose plain port leads to the same as the one with TLS, where it has one.
pub struct Front {
    pub proxy: Proxy,
    pub tls: u16,
}

impl Front {
    pub async fn start(kind: Kind, nodes: [u16; 2]) -> Self {
        let nodes = nodes.map(|port| format!("127.0.0.1:{port}"));
        let nodes = [nodes[0].as_str(), nodes[1].as_str()];
        let tls = free_port();
        let certificates = Certificates::new();
        let proxy = Proxy::start(|directory, port| match kind {
            Kind::Haproxy => haproxy(directory, &certificates, [port, tls], nodes),
            Kind::Nginx => nginx(directory, &certificates, [port, tls], nodes),
            Kind::NginxOfCompose => {
                let changes = [
                    ("listen 8080;", format!("listen 127.0.0.1:{port};")),
                    ("172.30.64.11:8080", nodes[0].to_owned()),
                    ("172.30.64.12:8080", nodes[1].to_owned()),
                    ("/tmp/", "./".to_owned()),
                    ("access_log /dev/stdout", "access_log access.log".to_owned()),
                ];
                run_nginx(directory, &with(&read("compose/nginx.conf"), &changes))
            }
            Kind::NginxOfTwoNodes => {
                let changes = [
                    ("127.0.0.1:8000", format!("127.0.0.1:{port}")),
                    ("127.0.0.1:8081", nodes[0].to_owned()),
                    ("127.0.0.1:8082", nodes[1].to_owned()),
                ];
                run_nginx(directory, &with(&read("nginx/two-nodes.conf"), &changes))
            }
        })
        .await;
        Self { proxy, tls }
    }

    /// In front of two nodes in processes of their own.
    pub async fn before(kind: Kind, nodes: &[Process; 2]) -> Self {
        Self::start(kind, [nodes[0].port, nodes[1].port]).await
    }
}

fn with(text: &str, changes: &[(&str, String)]) -> String {
    let changes: Vec<_> = changes.iter().map(|(from, to)| (*from, to.as_str())).collect();
    changed(text, &changes)
}

/// `nginx/rookery.conf` where its head says it belongs.
fn nginx(
    directory: &Directory,
    certificates: &Certificates,
    [plain, tls]: [u16; 2],
    nodes: [&str; 2],
) -> Command {
    let [certificate, key] = certificates.localhost().map(|path| path.display().to_string());
    let site = with(
        &read("nginx/rookery.conf"),
        &[
            ("listen 80;", format!("listen 127.0.0.1:{};", free_port())),
            ("listen 443 ssl;", format!("listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{plain};")),
            ("/etc/nginx/tls/rookery.example.com.pem", certificate),
            ("/etc/nginx/tls/rookery.example.com.key", key),
            ("/var/log/nginx/", String::new()),
            (NODES[0], nodes[0].to_owned()),
            (NODES[1], nodes[1].to_owned()),
        ],
    );
    directory.write("site.conf", &site);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    run_nginx(
        directory,
        &format!(
            "pid nginx.pid; error_log error.log;\nevents {{ worker_connections 4096; }}\n\
             http {{\n{temporary}include site.conf;\n}}\n"
        ),
    )
}

/// nginx as one process, so that killing it leaves nothing.
fn run_nginx(directory: &Directory, configuration: &str) -> Command {
    directory.write("nginx.conf", configuration);
    let shared = directory.path().join("rookery");
    fs::create_dir_all(&shared).expect("a directory can be made");
    for entry in fs::read_dir(path("nginx/rookery")).expect("the shared files are there") {
        let file = entry.expect("a directory can be read");
        fs::copy(file.path(), shared.join(file.file_name())).expect("a file can be copied");
    }
    let mut command = program_of_servers("nginx");
    command.args(["-e", "stderr", "-c", "nginx.conf", "-g", "daemon off; master_process off;"]);
    command.arg("-p").arg(directory.path());
    command
}

fn haproxy(
    directory: &Directory,
    certificates: &Certificates,
    [plain, tls]: [u16; 2],
    nodes: [&str; 2],
) -> Command {
    let both = certificates.localhost().map(|path| fs::read_to_string(path).expect("it was made"));
    let pem = directory.write("server.pem", &both.concat()).display().to_string();
    let configuration = with(
        &read("haproxy/haproxy.cfg"),
        &[
            ("bind :80", format!("bind 127.0.0.1:{plain}")),
            ("bind :443", format!("bind 127.0.0.1:{tls}")),
            ("/etc/haproxy/rookery.example.com.pem", pem),
            // What would be sent to HTTPS is served.
            ("code 301 unless { ssl_fc }", "code 301 if FALSE".to_owned()),
            // As much as it takes to open so many files may not be allowed here.
            ("maxconn 90000", "maxconn 2000".to_owned()),
            ("local0 notice", "local0 info".to_owned()),
            (NODES[0], nodes[0].to_owned()),
            (NODES[1], nodes[1].to_owned()),
        ],
    );
    directory.write("haproxy.cfg", &configuration);
    let mut command = program_of_servers("haproxy");
    command.args(["-db", "-f", "haproxy.cfg"]);
    command
}
