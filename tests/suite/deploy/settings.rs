//! The settings that stand in `deploy` are ones that there are.

use std::{collections::BTreeMap, fs, path::Path};

use super::path;
use crate::harness::{Directory, rookery};

/// A setting as the environment names it.
const PREFIX: &str = "ROOKERY__";

/// What the environment of a process is.
pub type Environment = BTreeMap<String, String>;

/// Asserts that the server takes this configuration.
pub fn assert_taken(file: Option<&Path>, environment: &Environment) {
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!(environment.iter().all(|(name, _)| name.starts_with(PREFIX)), "{environment:?}");
    let mut arguments = vec!["--check"];
    let file = file.map(|file| file.display().to_string());
    if let Some(file) = &file {
        arguments.extend(["--config", file]);
    }
    let output = rookery(&Directory::new(), &arguments, &environment);
    assert!(output.status.success(), "{environment:?}: {output:?}");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_variable_that_is_named_is_a_setting() {
    let defaults: toml::Table = toml::from_str(include_str!("../../../config.toml")).unwrap();
    let mut found = 0;
    for file in files(&path("")) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices(PREFIX) {
            let rest = &text[at + PREFIX.len()..];
            let end = rest.find(|it: char| !it.is_ascii_uppercase() && it != '_');
            let name = rest[..end.unwrap_or(rest.len())].to_lowercase();
            // As in "every ROOKERY__SECTION__KEY".
            if name == "section__key" {
                continue;
            }
            let key =
                name.split_once("__").and_then(|(section, key)| defaults.get(section)?.get(key));
            assert!(key.is_some(), "{}: there is no setting {PREFIX}{name}", file.display());
            found += 1;
        }
    }
    assert!(found > 10, "only {found} variables were found");
}
