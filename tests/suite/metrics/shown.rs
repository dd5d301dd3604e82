//! What is said of metrics elsewhere is true of real servers: the tables in
//! `docs/operations.md`, the dashboard and the alerts in `deploy`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::{Value, json};

use super::exposition::Exposition;
use crate::harness::{Backend, Directory, RedisServer, Reply, eventually, node};

/// What a server shows to which everything has happened that is counted by what it
/// was: with Redis, a backend that is told and asked, and somebody refused.
struct Everything {
    shown: Exposition,
}

impl Everything {
    async fn seen() -> Self {
        let redis = RedisServer::start().await;
        let backend = Backend::answering(|_| Reply::json(&json!({"allow": true}))).await;
        let settings = format!(
            "metrics.top_rooms = 3\nwebhooks.url = {url:?}\nwebhooks.keys = [\"a-key-of-hooks\"]\n\
             ask.url = {url:?}\nask.keys = [\"a-key-of-questions\"]\nask.connect = true",
            url = backend.url(),
        );
        let node = node(&redis.url(), "n1", &settings).await;
        node.upgrade().refused().await.assert_error(401, "unauthorized");
        let mut alice = node.member("alice", "lobby").await;
        let set = json!({"type": "set", "room": "lobby", "key": "k", "value": 1, "if_version": 9});
        alice.refused(set, "conflict").await;
        let shown = eventually("all that has labels", async || {
            let shown = Exposition::of(&node).await;
            let named = shown.find("rookery_room_members{room=\"lobby\"}").is_some();
            named.then_some(shown)
        });
        Self { shown: shown.await }
    }

    /// What an expression names is there, with the labels that it names.
    fn assert_there(&self, place: &str, expression: &str) {
        let names = self.shown.names();
        let parts = Parts::of(expression);
        assert!(!parts.metrics.is_empty(), "{place} looks at no metric: {expression}");
        let mut labels = BTreeSet::from(["instance", "job"]);
        for metric in &parts.metrics {
            assert!(names.contains(metric.as_str()), "{place}: no server shows {metric}");
            labels.extend(self.shown.labels(metric));
        }
        for label in &parts.labels {
            assert!(labels.contains(label.as_str()), "{place}: no label {label} in {expression}");
        }
    }
}

/// The names in an expression of PromQL. That it is one, promtool says.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

impl Parts {
    fn of(expression: &str) -> Self {
        let mut parts = Self::default();
        let mut rest = expression;
        // Whether names are those of labels: within braces, or after `by` and its kin.
        let (mut braces, mut grouped) = (false, None);
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|it: char| !it.is_alphanumeric() && it != '_' && it != ':');
            let (word, after) = rest.split_at(length.unwrap_or(rest.len()));
            if word.is_empty() {
                let end = |closing| rest[1..].find(closing).map_or(rest.len(), |at| at + 2);
                let mut step = first.len_utf8();
                match first {
                    '"' => step = end('"'),
                    '[' => step = end(']'),
                    '{' => braces = true,
                    '}' => braces = false,
                    '(' if grouped == Some(false) => grouped = Some(true),
                    ')' if grouped == Some(true) => grouped = None,
                    _ => {}
                }
                rest = &rest[step..];
                continue;
            }
            let called = after.trim_start().starts_with('(');
            if matches!(word, "by" | "on" | "without" | "ignoring" | "group_left") && called {
                grouped = Some(false);
            } else if braces || grouped == Some(true) {
                parts.labels.insert(word.to_owned());
            } else if !called
                && !first.is_ascii_digit()
                && !matches!(word, "and" | "or" | "unless" | "sum" | "min" | "max")
            {
                parts.metrics.insert(word.to_owned());
            }
            rest = after;
        }
        parts
    }
}

#[test]
fn names_are_found_in_an_expression() {
    let parts = Parts::of(
        "histogram_quantile(0.5, sum by (le) (rate(a_bucket{x=\"b\", y=~\"c.*\"}[5m]))) > 1 and on (z) d",
    );
    let names = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
    let expected =
        Parts { metrics: names(&["a_bucket", "d"]), labels: names(&["le", "x", "y", "z"]) };
    assert_eq!(parts, expected);
}

/// Has promtool, which is Prometheus' own, look at rules.
fn assert_rules(rules: &str) {
    let directory = Directory::new();
    let file = directory.write("rules.yaml", rules);
    let checked = Command::new("promtool").args(["check", "rules"]).arg(file).output();
    let checked = checked.expect("promtool is installed: `make tools`");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn what_servers_show_is_what_the_tables_for_operators_have() {
    let everything = Everything::seen().await;
    let document = include_str!("../../../docs/operations.md");
    let (_, section) = document.split_once("\n## Metrics\n").expect("a section on metrics");
    let section = section.split("\n## ").next().expect("it ends");
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (metrics, _) = row.split_once(" | ").expect("a row has two cells");
        for metric in metrics.split("`, `").map(|it| it.trim_end_matches('`')) {
            let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|it| !it.is_empty());
            let twice = told.insert(name.to_owned(), labels.map(str::to_owned).collect());
            assert!(twice.is_none(), "docs/operations.md has {name} twice");
        }
    }
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in everything.shown.names() {
        let mut labels = everything.shown.labels(sample);
        labels.remove("le");
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|it| sample.strip_suffix(it));
        let histogram = whole.filter(|it| everything.shown.type_of(it) == Some("histogram"));
        let name = histogram.unwrap_or(sample).to_owned();
        there.entry(name).or_default().extend(labels.into_iter().map(str::to_owned));
    }
    assert!(there.len() > 50, "the scrape is not whole: {there:?}");
    assert_eq!(told, there);
}

#[tokio::test]
async fn the_dashboard_shows_what_servers_show() {
    let everything = Everything::seen().await;
    let text = include_str!("../../../deploy/grafana.json");
    let dashboard: Value = serde_json::from_str(text).expect("the dashboard is JSON");
    // Those of Grafana 10 are 38 and later.
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|it| it >= 38));
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<_> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "node"]);
    assert_eq!(variables[0]["type"], "datasource");
    let asked = variables[1]["query"]["query"].as_str().expect("how nodes are found");
    let asked = asked.strip_prefix("label_values(").expect("by a label").split(',').next();
    everything.assert_there("the variable `node`", asked.expect("a metric"));

    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let (mut ids, mut rows, mut rules) = (BTreeSet::new(), Vec::new(), String::new());
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another's");
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for cell in (at("y")..at("y") + at("h"))
            .flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)))
        {
            assert!(cell.0 < 24 && taken.insert(cell), "{title} is over another, or outside");
        }
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        assert_eq!(panel["datasource"], source, "{title}");
        assert!(panel["description"].as_str().is_some_and(|it| !it.is_empty()), "{title}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        let known = ["short", "ops", "s", "bytes", "Bps", "percentunit"];
        assert!(known.contains(&unit), "{title}: the unit {unit:?}");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"], source, "{title}");
            let expression = target["expr"].as_str().expect("an expression");
            assert!(expression.contains("instance=~\"$node\""), "{title}: {expression}");
            everything.assert_there(title, expression);
            // What Grafana puts in.
            let expression = expression.replace("$__rate_interval", "5m");
            let number = rules.lines().count();
            rules += &format!("  - {{record: \"r{number}\", expr: {}}}\n", json!(expression));
        }
    }
    assert_eq!(
        rows,
        ["Clients", "Traffic", "Fan-out", "Broker", "Presence", "Refusals", "Process"]
    );
    assert_rules(&format!("groups:\n- name: panels\n  rules:\n{rules}"));
}

#[tokio::test]
async fn the_alerts_look_at_what_servers_show() {
    let everything = Everything::seen().await;
    let text = include_str!("../../../deploy/alerts.yaml");
    assert_rules(text);
    let rules: Value = serde_saphyr::from_str(text).expect("the alerts are YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() > 10, "{rules:?}");
    for rule in rules {
        let name = rule["alert"].as_str().expect("an alert has a name");
        everything.assert_there(name, rule["expr"].as_str().expect("an expression"));
        assert!(rule["annotations"]["summary"].is_string(), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity:?}");
    }
}
