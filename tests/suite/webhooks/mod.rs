//! What backends are told: by a node alone, by several over Redis, when a node
//! dies and when Redis forgets.

mod alone;
mod kill;
mod lost;
mod nodes;
mod signature;

use serde_json::{Value, json};

use crate::harness::Backend;

/// What calls are signed with.
const KEY: &str = "a-key-of-the-backend";

/// The settings of a node that tells this backend.
fn telling(backend: &Backend) -> String {
    format!(
        "webhooks.url = {:?}\nwebhooks.keys = [{KEY:?}]\nwebhooks.delay = \"20ms\"\n\
         webhooks.retry = \"50ms\"\nwebhooks.retry_most = \"200ms\"\n",
        backend.url()
    )
}

/// The same as variables, for a node in a process of its own.
fn telling_process(backend: &Backend) -> Vec<(&'static str, String)> {
    vec![
        ("ROOKERY__WEBHOOKS__URL", backend.url()),
        ("ROOKERY__WEBHOOKS__KEYS", json!([KEY]).to_string()),
        ("ROOKERY__WEBHOOKS__DELAY", "20ms".to_owned()),
        ("ROOKERY__WEBHOOKS__TIMEOUT", "1s".to_owned()),
        ("ROOKERY__WEBHOOKS__RETRY", "50ms".to_owned()),
        ("ROOKERY__WEBHOOKS__RETRY_MOST", "200ms".to_owned()),
    ]
}

/// Of these events those of one room.
fn of_room<'a>(events: &'a [Value], room: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["room"] == room)
}
