//! The examples of `docs/api.md`, run as they stand there: each `sh` block against a
//! real server, and where a `json` block follows, the answer has to have its shape.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::harness::Process;

/// What stands between two fences, with the word behind the first.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut blocks, mut open) = (Vec::new(), None::<(String, String)>);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    blocks
}

fn shape_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first difference in shape: the same fields, of the same kinds, and lists of
/// the same length.
fn difference(shown: &Value, came: &Value, at: &str) -> Option<String> {
    match (shown, came) {
        (Value::Object(shown), Value::Object(came)) => {
            let unlike = shown.keys().filter(|name| !came.contains_key(*name));
            let unlike = unlike.chain(came.keys().filter(|name| !shown.contains_key(*name)));
            if let Some(name) = unlike.into_iter().next() {
                return Some(format!("{at}.{name} is only in one of the two"));
            }
            shown
                .iter()
                .find_map(|(name, value)| difference(value, &came[name], &format!("{at}.{name}")))
        }
        (Value::Array(shown), Value::Array(came)) if shown.len() == came.len() => {
            let mut pairs = shown.iter().zip(came).enumerate();
            pairs.find_map(|(n, (shown, came))| difference(shown, came, &format!("{at}[{n}]")))
        }
        (Value::Array(_), Value::Array(_)) => Some(format!("{at} has another length")),
        _ if shape_of(shown) == shape_of(came) => None,
        _ => Some(format!("{at} is {}, not {}", shape_of(came), shape_of(shown))),
    }
}

async fn run(script: String, port: u16) -> Output {
    let run = move || {
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("ROOKERY", format!("http://127.0.0.1:{port}"))
            .env("KEY", super::KEY)
            .output()
            .expect("bash runs")
    };
    tokio::task::spawn_blocking(run).await.expect("it does not panic")
}

#[tokio::test]
async fn the_examples_of_the_document_do_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let settings = [("ROOKERY__API__KEYS", super::KEY), ("ROOKERY__SERVER__NODE", "n1")];
    let server = Process::spawn(&settings).await;
    let _alice = server.member("alice", "lobby").await;
    let blocks = blocks(&text);
    let mut compared = 0;
    for (at, (kind, block)) in blocks.iter().enumerate() {
        if kind != "sh" {
            continue;
        }
        let output = run(block.clone(), server.port).await;
        let came = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}: {came}{said}");
        if let Some((_, shown)) = blocks.get(at + 1).filter(|(kind, _)| kind == "json") {
            let shown: Value =
                serde_json::from_str(shown).unwrap_or_else(|error| panic!("{error} in {shown}"));
            let came: Value = serde_json::from_str(&came)
                .unwrap_or_else(|error| panic!("{error}: {block}{came}{said}"));
            if let Some(difference) = difference(&shown, &came, "") {
                panic!("{block}{came}: {difference}");
            }
            compared += 1;
        }
    }
    assert!(compared > 10, "only {compared} answers were compared");
}

#[test]
fn a_difference_in_shape_is_found() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let shown = value(r#"{"a": 1, "b": [{"c": "x"}]}"#);
    assert_eq!(difference(&shown, &value(r#"{"b": [{"c": "y"}], "a": 2.5}"#), ""), None);
    for other in [
        r#"{"a": 1}"#,
        r#"{"a": 1, "b": [{"c": "x"}], "d": 1}"#,
        r#"{"a": "1", "b": [{"c": "x"}]}"#,
        r#"{"a": 1, "b": []}"#,
        r#"{"a": 1, "b": [{"c": null}]}"#,
    ] {
        assert!(difference(&shown, &value(other), "").is_some(), "{other}");
    }
}
