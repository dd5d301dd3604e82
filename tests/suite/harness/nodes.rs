use super::{Process, TestApp};

/// What the nodes of these tests have in common: short times, and no limit that
/// a test's traffic could meet.
const QUICK: [(&str, &str); 4] = [
    ("presence.grace", "300ms"),
    ("presence.lease", "6s"),
    ("limits.messages_per_second", "100000"),
    ("limits.connects_per_second", "100000"),
];

/// Nodes `n1`, `n2` … inside the test over one Redis.
pub async fn nodes<const N: usize>(url: &str) -> [TestApp; N] {
    nodes_with(url, "").await
}

/// The same with settings of their own, which override those of all tests.
pub async fn nodes_with<const N: usize>(url: &str, settings: &str) -> [TestApp; N] {
    let mut nodes = Vec::new();
    for number in 1..=N {
        nodes.push(node(url, &format!("n{number}"), settings).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("not {N} nodes"))
}

/// A node of this name inside the test.
pub async fn node(url: &str, name: &str, settings: &str) -> TestApp {
    let mut text = format!("broker.url = {url:?}\nserver.node = {name:?}\n{settings}\n");
    for (key, value) in QUICK {
        if !settings.contains(key) {
            let quoted =
                value.parse::<u32>().map_or(format!("{value:?}"), |number| number.to_string());
            text.push_str(&format!("{key} = {quoted}\n"));
        }
    }
    TestApp::spawn(&text).await
}

/// A node of this name in a process of its own, to be killed.
pub async fn node_process(url: &str, name: &str, settings: &[(&str, &str)]) -> Process {
    let quick = QUICK
        .map(|(key, value)| (format!("ROOKERY__{}", key.to_uppercase().replace('.', "__")), value));
    let own = [("ROOKERY__BROKER__URL", url), ("ROOKERY__SERVER__NODE", name)];
    let mut environment: Vec<(&str, &str)> =
        quick.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    environment.extend(own);
    environment.extend(settings);
    Process::spawn(&environment).await
}
