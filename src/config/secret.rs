use std::fmt;

/// Text that is shown nowhere: not in logs, errors or the printed
/// configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in a secret's place.
pub(super) const HIDDEN: &str = "<hidden>";

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Whether the value of `key`, or of a part of it, is kept from being shown.
pub(super) fn is_hidden(key: &str) -> bool {
    const HIDDEN: [&str; 8] = [
        "auth.secret",
        "api.key",
        "broker.url",
        "webhooks.url",
        "webhooks.keys",
        "webhooks.endpoint",
        "ask.url",
        "ask.keys",
    ];
    // What a key of a backend is called, and what it may do, is no secret.
    if key.starts_with("api.key[")
        && [".name", ".scopes", ".rooms"].iter().any(|it| key.contains(it))
    {
        return false;
    }
    HIDDEN.iter().any(|hidden| key.starts_with(hidden))
}

/// What of an address may be shown: user, password and parameters are not.
pub(super) fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split('?').next().unwrap_or_default();
    format!("{scheme}://{place}")
}
