//! The manifests, read: there is no cluster here that could run them.

use serde_json::{Value, json};

use super::{
    path, read,
    settings::{Environment, assert_taken},
};

fn manifest(name: &str) -> Value {
    let text = read(&format!("kubernetes/{name}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn container() -> Value {
    manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn every_manifest_is_part_of_the_whole_and_of_its_kind() {
    let whole = manifest("kustomization.yaml");
    let kinds: Vec<String> = whole["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| {
            let manifest = manifest(name.as_str().unwrap());
            assert!(manifest["apiVersion"].is_string(), "{name}");
            assert_eq!(manifest["metadata"]["name"], "rookery", "{name}");
            manifest["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    let wanted = ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"];
    assert_eq!(kinds, wanted);
    assert_eq!(whole["configMapGenerator"][0]["files"], json!(["config.toml"]));
    let mounted = &manifest("deployment.yaml")["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(mounted["configMap"]["name"], whole["configMapGenerator"][0]["name"]);
    assert_eq!(container()["image"], whole["images"][0]["name"]);
}

/// The variables, with something in place of what Kubernetes fills in.
fn environment() -> Environment {
    let container = container();
    let variables = container["env"].as_array().unwrap().iter();
    variables
        .map(|variable| {
            let name = variable["name"].as_str().unwrap();
            let value = match name {
                "ROOKERY__SERVER__NODE" => "rookery-7d9c5b6f4-x2x7p",
                "ROOKERY__AUTH__SECRET" => "0123456789abcdef0123456789abcdef",
                "ROOKERY__BROKER__URL" => "redis://:password@redis.example.internal:6379",
                _ => variable["value"].as_str().expect("a value"),
            };
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn the_server_takes_its_configuration() {
    assert_taken(Some(&path("kubernetes/config.toml")), &environment());
    let container = container();
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert_eq!(container["args"], json!(["--config", format!("{mount}/config.toml")]));
}

#[test]
fn probes_and_ports_are_those_of_the_server() {
    let container = container();
    let probed = |probe: &str| container[probe]["httpGet"].clone();
    assert_eq!(probed("readinessProbe"), json!({"path": "/readyz", "port": "http"}));
    assert_eq!(probed("livenessProbe"), json!({"path": "/healthz", "port": "http"}));
    let port = &container["ports"][0];
    assert_eq!(port["name"], "http");
    let settings = settings();
    let listen = settings.server.listen[0].to_string();
    assert!(listen.ends_with(&format!(":{}", port["containerPort"])), "{listen}");
    assert_eq!(manifest("service.yaml")["spec"]["ports"][0]["targetPort"], "http");
}

fn settings() -> rookery::config::Settings {
    rookery::config::Settings::from_toml(&read("kubernetes/config.toml")).unwrap()
}

#[test]
fn a_pod_has_the_time_to_drain() {
    let pod = manifest("deployment.yaml")["spec"]["template"]["spec"].clone();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let pre_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    let drain = settings().server.drain_timeout.as_secs();
    assert!(grace >= pre_stop.expect("preStop sleeps") + drain + 5, "{grace}");
}

/// Clients of a node come back over a second for each 1,000 of them; who is shown
/// that long does not leave.
#[test]
fn nobody_leaves_for_a_restart_of_a_pod_with_its_share_of_clients() {
    let autoscaler = manifest("autoscaler.yaml");
    let metric = &autoscaler["spec"]["metrics"][0]["pods"];
    assert_eq!(metric["metric"]["name"], "rookery_connections");
    let target = metric["target"]["averageValue"].as_str().unwrap().parse::<u64>().unwrap();
    let settings = settings();
    assert!(settings.presence.grace.as_secs() > target / 1000);
    assert!(settings.presence.lease.mul_f64(0.6).as_secs() > target / 1000);
    assert!(settings.server.max_connections as u64 >= 2 * target);
}

#[test]
fn everything_selects_the_pods_of_the_deployment() {
    let deployment = manifest("deployment.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&manifest("service.yaml")["spec"]["selector"], labels);
    assert_eq!(&manifest("disruption.yaml")["spec"]["selector"]["matchLabels"], labels);
    let target = &manifest("autoscaler.yaml")["spec"]["scaleTargetRef"];
    assert_eq!(target["kind"], deployment["kind"]);
    assert_eq!(target["name"], deployment["metadata"]["name"]);
    assert_eq!(target["apiVersion"], deployment["apiVersion"]);
}

#[test]
fn the_pods_have_no_rights_they_do_not_need() {
    let pod = manifest("deployment.yaml")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
}
