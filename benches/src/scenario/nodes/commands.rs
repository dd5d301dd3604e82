//! What Redis is asked to do for a message, counted by Redis.

use std::collections::BTreeMap;

use anyhow::ensure;

use crate::report::Figures;

/// The one command a node sends for a message, and what the script has to do.
const ONCE: [&str; 3] = ["evalsha", "xadd", "publish"];

/// What else the script does, and how often: of what it writes it asks how long
/// each is kept, log and what is known of it.
const INSIDE: [(&str, u64); 4] = [("hmget", 1), ("time", 1), ("hset", 1), ("pttl", 2)];

/// What is not for a message, in commands a second: two nodes that beat.
const BESIDE: f64 = 100.0;

/// A log that is full is cut with a few commands, once for more than this many
/// messages.
const CUT: u64 = 10;

/// How often each command was run for each of so many messages.
///
/// # Errors
/// One that was run more often than it has to be.
pub(super) fn of_each(
    messages: u64,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    seconds: f64,
) -> anyhow::Result<Figures> {
    let calls = |name: &str| {
        let count = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or(0);
        count(after) - count(before)
    };
    let each = |calls: u64| calls as f64 / messages.max(1) as f64;
    let beside = (BESIDE * (seconds + 1.0)) as u64;
    let mut figures = Figures::default();
    for name in ONCE {
        let calls = calls(name);
        figures.plain(name, each(calls));
        ensure!(
            (messages..=messages + beside).contains(&calls),
            "{calls} times {name} for {messages} messages"
        );
    }
    for (name, often) in INSIDE {
        let calls = calls(name);
        figures.plain(name, each(calls));
        ensure!(
            calls <= often * messages + messages / CUT + beside,
            "{calls} times {name} for {messages} messages"
        );
    }
    let known = |name: &str| ONCE.contains(&name) || INSIDE.iter().any(|it| it.0 == name);
    let others = after.keys().filter(|name| !known(name)).map(|name| calls(name)).sum();
    figures.plain("all others", each(others));
    ensure!(
        others <= messages / CUT + beside,
        "{others} commands of other kinds for {messages} messages"
    );
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_command_too_many_is_found() {
        let before = calls(&[("evalsha", 5), ("ping", 3)]);
        let good = [("evalsha", 10_007), ("xadd", 10_000), ("publish", 10_004), ("hset", 10_100)];
        assert!(of_each(10_000, &before, &calls(&good), 1.0).is_ok());
        for bad in [("evalsha", 20_000), ("xadd", 9_999), ("hset", 20_000), ("get", 10_000)] {
            let mut after = calls(&good);
            after.insert(bad.0.to_owned(), bad.1);
            assert!(of_each(10_000, &before, &after, 1.0).is_err(), "{bad:?}");
        }
    }
}
