//! The image and the compose file, read: there is nothing here to build or run
//! them with.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

use super::{
    read,
    settings::{Environment, assert_taken},
};
use crate::harness::Directory;

fn compose() -> Value {
    serde_saphyr::from_str(&read("compose/compose.yaml")).expect("compose.yaml is YAML")
}

/// A variable as compose fills it in: its default, or something long enough for a
/// secret.
fn filled_in(value: &str) -> String {
    let Some(inside) = value.strip_prefix("${").and_then(|it| it.strip_suffix('}')) else {
        assert!(!value.contains('$'), "{value}");
        return value.to_owned();
    };
    match inside.split_once(":-") {
        Some((_, default)) => default.to_owned(),
        None => "0123456789abcdef".repeat(4),
    }
}

fn environment(node: &Value) -> Environment {
    let variables = node["environment"].as_object().expect("a node has an environment");
    let text = |value: &Value| filled_in(value.as_str().expect("values are text"));
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

#[test]
fn compose_has_two_nodes_that_differ_by_name_and_address() {
    let compose = compose();
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let nginx = read("compose/nginx.conf");
    let mut shared = Vec::new();
    for name in ["node-1", "node-2"] {
        let node = &compose["services"][name];
        let mut environment = environment(node);
        assert_taken(None, &environment);
        let proxy = &compose["services"]["nginx"]["networks"]["inside"]["ipv4_address"];
        assert_eq!(environment["ROOKERY__SERVER__TRUSTED_PROXIES"], proxy.as_str().unwrap());
        let port = environment["ROOKERY__SERVER__LISTEN"].rsplit(':').next().unwrap().to_owned();
        let address = node["networks"]["inside"]["ipv4_address"].as_str().unwrap();
        assert!(nginx.contains(&format!("server {address}:{port} ")), "{address}:{port}");
        addresses.insert(address.to_owned());
        names.extend(environment.remove("ROOKERY__SERVER__NODE"));
        shared.push(environment);

        let drain = humantime::parse_duration(&shared[0]["ROOKERY__SERVER__DRAIN_TIMEOUT"]);
        let stop = humantime::parse_duration(node["stop_grace_period"].as_str().unwrap());
        assert!(stop.unwrap() >= drain.unwrap() + std::time::Duration::from_secs(5));
        let probe = node["healthcheck"]["test"].as_array().expect("a health check");
        assert_eq!(probe[1..], ["/usr/local/bin/rookery", "probe", "/readyz"]);
        assert_eq!(node["image"], "rookery");
        assert_eq!(node["depends_on"]["redis"]["condition"], "service_healthy");
        assert!(node["ulimits"]["nofile"].as_u64().is_some_and(|it| it >= 65_536), "{node}");
    }
    assert_eq!((names.len(), addresses.len()), (2, 2));
    assert_eq!(shared[0], shared[1], "all else is the same for all nodes");
}

#[test]
fn compose_keeps_what_redis_has_and_lets_only_nginx_out() {
    let compose = compose();
    let redis = &compose["services"]["redis"];
    let command: Vec<_> =
        redis["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for pair in [["--appendonly", "yes"], ["--maxmemory-policy", "noeviction"]] {
        assert!(command.windows(2).any(|it| it == pair), "{command:?}");
    }
    assert_eq!(redis["volumes"][0], "redis:/data");
    assert!(compose["volumes"].get("redis").is_some());
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(service.get("ports").is_some(), name == "nginx", "ports of {name}");
    }
    let ports = compose["services"]["nginx"]["ports"][0].as_str().unwrap();
    let listen = format!("listen {};", ports.rsplit(':').next().unwrap());
    assert!(read("compose/nginx.conf").contains(&listen), "{ports}");
    for volume in compose["services"]["nginx"]["volumes"].as_array().unwrap() {
        let file = volume.as_str().unwrap().split(':').next().unwrap();
        let file = super::path("compose").join(file);
        assert!(file.exists(), "{}", file.display());
    }
    let node = &compose["services"]["node-1"]["build"];
    let context = super::path("compose").join(node["context"].as_str().unwrap());
    assert!(context.join(node["dockerfile"].as_str().unwrap()).exists());
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn copied(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copied(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn what_the_image_is_built_from_is_a_whole_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = read("Dockerfile.dockerignore");
    let sources = Directory::new();
    let copies: Vec<String> = instructions()
        .into_iter()
        .filter(|it| it.starts_with("COPY ") && !it.contains("--"))
        .collect();
    for copy in &copies {
        let words: Vec<&str> = copy.split(' ').skip(1).collect();
        let (target, names) = words.split_last().unwrap();
        for name in names {
            assert!(context.lines().any(|it| it == format!("!{name}")), "{name} is ignored");
            let target = if *target == "./" { name } else { target };
            copied(&root.join(name), &sources.path().join(target));
        }
    }
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        // What other systems need was not fetched for this one.
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(sources.path())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{metadata:?}");
    // And what files of the crate read that are not its code.
    for needed in ["config.toml", "static/index.html", "src/main.rs"] {
        assert!(sources.path().join(needed).exists(), "{needed} is not copied");
    }
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(instructions()[0].starts_with(&format!("FROM rust:{rust}-")), "{copies:?}");
}

#[test]
fn the_image_has_no_shell_and_no_root_and_is_asked_by_the_binary() {
    let instructions = instructions();
    let last_stage = instructions.iter().rposition(|it| it.starts_with("FROM ")).unwrap();
    assert!(last_stage > 0, "one stage alone");
    let image = &instructions[last_stage..];
    assert!(image[0].contains("distroless") && image[0].ends_with(":nonroot"), "{image:?}");
    assert!(!image.iter().any(|it| it.starts_with("RUN ") || it.starts_with("USER root")));
    let binary = "/usr/local/bin/rookery";
    assert!(image.contains(&format!("COPY --from=build /out/rookery {binary}")), "{image:?}");
    assert!(image.contains(&format!("ENTRYPOINT [\"{binary}\"]")), "{image:?}");
    let health = image.iter().find(|it| it.starts_with("HEALTHCHECK ")).expect("a health check");
    assert!(health.ends_with(&format!("CMD [\"{binary}\", \"probe\", \"/healthz\"]")), "{health}");

    let variables = image.iter().filter_map(|it| it.strip_prefix("ENV ")?.split_once('='));
    let environment: Environment =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_taken(None, &environment);
    let port = environment["ROOKERY__SERVER__LISTEN"].rsplit(':').next().unwrap();
    assert!(image.contains(&format!("EXPOSE {port}")), "{image:?}");
}
