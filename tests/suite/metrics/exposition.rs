//! `GET /metrics`, read as strictly as the format is: the text form of
//! OpenMetrics 1.0.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Endpoint, eventually};

/// What was shown at one moment.
pub struct Exposition {
    /// The families by name: their types.
    types: BTreeMap<String, String>,
    /// The samples by name and labels as written, `name{label="value"}`.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    pub async fn of(node: &Endpoint) -> Self {
        let response = node.get("/metrics").await;
        assert_eq!(response.status, 200, "{response:?}");
        let content_type = response.header("content-type").unwrap_or_default();
        assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        Self::parse(&response.body)
    }

    /// Waits until the sample has this value.
    pub async fn until(node: &Endpoint, sample: &str, value: f64) -> Self {
        Self::eventually(node, &format!("{sample} {value}"), |it| it.get(sample) == value).await
    }

    /// Waits until it is as wanted.
    pub async fn eventually(node: &Endpoint, what: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        eventually(what, async || Some(Self::of(node).await).filter(&wanted)).await
    }

    /// The value of a sample; 0 for one that is not there, as of a counter that
    /// has not counted yet.
    pub fn get(&self, sample: &str) -> f64 {
        self.find(sample).unwrap_or_default()
    }

    /// The value of a sample that is there.
    pub fn find(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    /// The type of a family.
    pub fn type_of(&self, family: &str) -> Option<&str> {
        self.types.get(family).map(String::as_str)
    }

    /// The samples whose names begin so.
    pub fn beginning(&self, with: &str) -> Vec<&str> {
        self.samples.keys().map(String::as_str).filter(|it| it.starts_with(with)).collect()
    }

    /// The names of all samples, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|sample| sample.split('{').next().unwrap_or_default()).collect()
    }

    /// The names of the labels that samples of this name have.
    pub fn labels(&self, name: &str) -> BTreeSet<&str> {
        let of = format!("{name}{{");
        let samples = self.samples.keys().filter_map(|sample| sample.strip_prefix(&of));
        samples.flat_map(|it| it.split(',')).filter_map(|it| it.split('=').next()).collect()
    }

    /// Each family is told once: `HELP`, `TYPE`, then all of its samples.
    fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the text ends as it has to");
        let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
        let mut helped = String::new();
        let mut family: Option<(String, String)> = None;
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a name and words");
                assert!(!help.is_empty(), "{line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert_eq!(name, helped, "TYPE follows HELP");
                assert_name(name);
                let earlier = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(earlier, None, "{name} is told twice");
                family = Some((name.to_owned(), kind.to_owned()));
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                let (name, kind) = family.as_ref().unwrap_or_else(|| panic!("of nothing: {line}"));
                assert_sample(name, kind, sample);
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                let earlier = samples.insert(sample.to_owned(), value);
                assert_eq!(earlier, None, "{sample} is told twice");
            }
        }
        let shown = Self { types, samples };
        shown.assert_histograms();
        shown
    }

    /// Buckets are cumulative, and the last one has all.
    fn assert_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut buckets: Vec<(f64, f64)> = self
                .beginning(&format!("{name}_bucket{{"))
                .iter()
                .map(|sample| {
                    let (_, bound) = sample.split_once("le=\"").expect("a bound");
                    let bound = bound.split('"').next().expect("it ends");
                    (bound.parse().expect("a number"), self.get(sample))
                })
                .collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by_key(|it| it.1), "{name}: {buckets:?}");
            let all = (f64::INFINITY, self.get(&format!("{name}_count")));
            assert_eq!(buckets.last(), Some(&all), "{name}");
        }
    }
}

fn assert_name(name: &str) {
    let fitting = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    assert!(!name.is_empty() && name.chars().all(fitting), "{name:?} is no name");
}

/// A sample is of the family told last, with the endings of its type.
fn assert_sample(family: &str, kind: &str, sample: &str) {
    let (name, labels) = match sample.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
        None => (sample, ""),
    };
    let endings: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("{family} has the type {other:?}"),
    };
    let ending = name.strip_prefix(family);
    assert!(ending.is_some_and(|it| endings.contains(&it)), "{sample} is not of {family}");
    let mut names = BTreeSet::new();
    for label in labels.split(',').filter(|it| !it.is_empty()) {
        let (name, value) = label.split_once('=').expect("a label and its value");
        assert_name(name);
        assert!(names.insert(name), "{sample} has {name} twice");
        let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let plain = value.is_some_and(|it| !it.contains(['"', '\\', '{', '}']));
        assert!(plain, "{sample}: the value of {name}");
    }
}
