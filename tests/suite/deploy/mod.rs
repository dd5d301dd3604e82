//! What is in `deploy`, as far as it can be run here: real nginx and HAProxy in
//! front of two nodes, a rolling restart under load, what systemd says of the unit.
//! The rest is read: containers and Kubernetes are not there.

mod containers;
mod fronts;
mod kubernetes;
mod probe;
mod proxies;
mod rolling;
mod settings;
mod tls;
mod unit;

use std::{fs, path::PathBuf};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text with something else in a place that has to be there: what is tested is
/// the file itself, but for what a test names.
fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "there is no {from:?} any more in\n{text}");
        text.replace(from, to)
    })
}
