use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::TestApp;

/// The document of a server, which needs no key.
async fn document() -> Value {
    let app = TestApp::spawn("").await;
    let response = app.get("/api/v1/openapi.json").await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json()
}

/// All that a value refers to within the document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let path = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(path).is_some(), "{reference} is not there");
    }
}

#[tokio::test]
async fn the_document_has_every_call_with_what_it_needs() {
    let document = document().await;
    let paths = document["paths"].as_object().expect("an object");
    let mut calls: Vec<String> = Vec::new();
    let is_of_backends = |path: &str| path.starts_with("/api/v1/") && !path.contains("/client/");
    for (path, methods) in paths.iter().filter(|(path, _)| is_of_backends(path)) {
        for (method, call) in methods.as_object().expect("an object") {
            let name = format!("{} {}", method.to_uppercase(), &path["/api/v1".len()..]);
            let answers = call["responses"].as_object().expect("an object");
            if name != "GET /openapi.json" {
                let done = if name == "GET /trace" { "101" } else { "200" };
                for status in [done, "401", "403", "404", "503"] {
                    assert!(answers.contains_key(status), "{name}: {status}");
                }
                let security = call.get("security").unwrap_or(&document["security"]);
                assert_eq!(security[0]["api_key"], Value::Array(Vec::new()), "{name}");
            }
            assert!(call["summary"].is_string() && call["operationId"].is_string(), "{name}");
            calls.push(name);
        }
    }
    calls.sort_unstable();
    let expected = [
        "DELETE /rooms/{room}/state/{key}",
        "GET /key",
        "GET /largest-rooms",
        "GET /nodes",
        "GET /openapi.json",
        "GET /rooms",
        "GET /rooms/{room}/messages",
        "GET /rooms/{room}/presence",
        "GET /rooms/{room}/state",
        "GET /stats",
        "GET /trace",
        "GET /users/{user}",
        "GET /users/{user}/sessions",
        "POST /batch",
        "POST /broadcast",
        "POST /rooms/{room}/messages",
        "POST /tokens/{jti}/revoke",
        "POST /users/{user}/disconnect",
        "POST /users/{user}/messages",
        "POST /users/{user}/sessions/{session}/disconnect",
        "PUT /rooms/{room}/state/{key}",
    ];
    assert_eq!(calls, expected);
    for other in ["/ws", "/auth/guest", "/healthz", "/readyz", "/metrics"] {
        assert!(paths.contains_key(other), "{other}");
    }
}
