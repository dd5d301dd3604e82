//! Any text gives a command or a problem, and `bad_json` is said of exactly
//! what is not JSON.

use rookery::{model::Code, wire::command};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let incoming = command::parse(text);
    match &incoming.command {
        Ok(_) => assert!(is_json),
        Err(problem) => {
            assert_eq!(problem.code == Code::BadJson, !is_json);
            assert!(problem.message.len() < 1000);
        }
    }
    if let Some(id) = &incoming.id {
        assert!(serde_json::to_string(id).is_ok());
    }
}
