use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    ConfigError, Settings,
    secret::{HIDDEN, is_hidden},
};

/// The file that holds every key with its default, as part of the program.
const EMBEDDED: &str = include_str!("../../config.toml");

/// The file read where none is named.
const DEFAULT_FILE: &str = "config.toml";

/// What the names of variables start with, and what stands for the dot.
const PREFIX: &str = "ROOKERY__";
const DOT: &str = "__";

/// The configuration before it is typed: the embedded defaults, over them a
/// file, over that the environment. A later layer replaces whole values, so
/// that `auth.default_grants` of a file leaves nothing of the default.
#[derive(Clone)]
pub struct Layers {
    /// What each key holds unless it is set; also which keys there are.
    defaults: Table,
    /// What each key holds.
    merged: Table,
    /// The variable that set a key, for error messages.
    variables: BTreeMap<String, String>,
}

impl Layers {
    /// The embedded defaults, `file` (without one: `config.toml`, if the
    /// working directory has it) and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read and for unknown keys.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut layers = Self::embedded()?;
        let (path, required) = match file {
            Some(file) => (file.to_owned(), true),
            None => (PathBuf::from(DEFAULT_FILE), false),
        };
        match fs::read_to_string(&path) {
            Ok(text) => layers.add_toml(&text, &path.display().to_string())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(error) => return Err(ConfigError::unreadable(&path, &error)),
        }
        layers.add_environment(env::vars_os())?;
        Ok(layers)
    }

    /// The defaults alone.
    pub(super) fn embedded() -> Result<Self, ConfigError> {
        let defaults = parse(EMBEDDED, "the embedded config.toml")?;
        Ok(Self { merged: defaults.clone(), defaults, variables: BTreeMap::new() })
    }

    /// A layer of TOML; `origin` names it in errors.
    pub(super) fn add_toml(&mut self, text: &str, origin: &str) -> Result<(), ConfigError> {
        for (section, values) in parse(text, origin)? {
            let Some(known) = self.merged.get_mut(&section).and_then(Value::as_table_mut) else {
                return Err(ConfigError::unknown_key(&section, self.defaults.keys()));
            };
            let Value::Table(values) = values else {
                let got = format!("a single {}", values.type_str());
                return Err(ConfigError::value(&section, got, format!("a table [{section}]")));
            };
            for (key, value) in values {
                if !known.contains_key(&key) {
                    return Err(ConfigError::unknown_key(
                        &format!("{section}.{key}"),
                        known.keys(),
                    ));
                }
                known.insert(key, value);
            }
        }
        Ok(())
    }

    /// A layer of variables: those with other names are left alone.
    pub(super) fn add_environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(place) = name.strip_prefix(PREFIX) else { continue };
            let place = place.to_ascii_lowercase();
            let (section, key) = place.split_once(DOT).unwrap_or((&place, ""));
            let Some(known) = self.merged.get_mut(section).and_then(Value::as_table_mut) else {
                let unknown = ConfigError::unknown_key(section, self.defaults.keys());
                return Err(unknown.set_by(&name));
            };
            let default = self.defaults.get(section).and_then(|section| section.get(key));
            let Some(default) = default else {
                let path = place.trim_end_matches(DOT).replacen(DOT, ".", 1);
                return Err(ConfigError::unknown_key(&path, known.keys()).set_by(&name));
            };
            let path = format!("{section}.{key}");
            let read = value.to_str().and_then(|text| read_as(default, text));
            let Some(read) = read else {
                let got = match is_hidden(&path) {
                    true => HIDDEN.to_owned(),
                    false => format!("{value:?}"),
                };
                let expected = expected_as(default);
                return Err(ConfigError::value(path, format!("{got} (from {name})"), expected));
            };
            known.insert(key.to_owned(), read);
            self.variables.insert(path, name.into_owned());
        }
        Ok(())
    }

    /// The typed settings.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that does not fit.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let root = Value::Table(self.merged.clone());
        let settings = serde_path_to_error::deserialize(root.clone())
            .map_err(|error| ConfigError::mismatch(&error, &root));
        let checked = settings.and_then(|settings: Settings| settings.check().map(|()| settings));
        checked.map_err(|error| error.naming_variable(|key| self.variable_of(key)))
    }

    /// The variable that set `key`, which may be a part such as `api.keys[0]`.
    fn variable_of(&self, key: &str) -> Option<String> {
        let whole = key.split('[').next().unwrap_or(key);
        self.variables.get(whole).cloned()
    }

    /// The configuration in effect as TOML, with secrets hidden.
    ///
    /// # Errors
    /// [`ConfigError`] where it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let mut shown = self.merged.clone();
        for (section, values) in &mut shown {
            for (key, value) in values.as_table_mut().into_iter().flatten() {
                if is_hidden(&format!("{section}.{key}")) {
                    hide(value);
                }
            }
        }
        toml::to_string(&shown).map_err(|error| ConfigError::File {
            file: "the configuration in effect".to_owned(),
            cause: error.to_string(),
        })
    }
}

fn parse(text: &str, origin: &str) -> Result<Table, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::not_toml(origin, text, &error))
}

/// A variable's text as the kind of value that its key's default is.
fn read_as(default: &Value, text: &str) -> Option<Value> {
    match default {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Table(_) => serde_json::from_str(text).ok(),
        Value::Array(_) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(Value::from).collect()))
        }
        _ => Some(Value::from(text)),
    }
}

fn expected_as(default: &Value) -> &'static str {
    match default {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Table(_) => "a table as JSON, such as {\"*\": [\"join\"]}",
        Value::Array(_) => "a list with commas, or as JSON",
        _ => "text in UTF-8",
    }
}

/// Replaces what is secret; what is not set is still seen not to be.
fn hide(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(hide),
        // Of the keys of backends that may do a part, the rest is no secret.
        Value::Table(table) => {
            table.iter_mut().filter(|(name, _)| *name == "key").for_each(|(_, it)| hide(it))
        }
        Value::String(text) if text.is_empty() => {}
        other => *other = Value::from(HIDDEN),
    }
}
