//! Scrape examples: Prometheus takes them, and what they discover becomes the targets that the rules count on.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{install, text};
use crate::tools::run;

/// A folder as `/etc/prometheus` is to be, with all examples.
fn etc() -> TempDir {
    let folder = TempDir::new().expect("there is room for a folder");
    let ours = folder.path().join("epic-mesos");
    fs::create_dir(&ours).expect("the folder is empty");
    let write = |path: &Path, text: String| fs::write(path, text).expect("the folder takes files");
    for example in EXAMPLES {
        write(&folder.path().join(example), text(&format!("scrape/{example}")));
    }
    write(&ours.join("rules.yaml"), text("rules.yaml"));
    write(&ours.join("hosts.yaml"), text("scrape/hosts.yaml"));
    let key = KeyPair::generate().expect("a key can be made");
    let ca = CertificateParams::new(Vec::new()).and_then(|params| params.self_signed(&key));
    write(&ours.join("ca.pem"), ca.expect("a certificate can be made").pem());
    folder
}

/// What Prometheus makes of targets that such a discovery finds, each as its labels.
///
/// promtool is given a file in place of the service that would be asked.
fn targets(example: &str, discovery: &str, found: &str) -> Vec<Value> {
    let folder = etc();
    let mut config = String::new();
    let mut is_service = false;
    let mut replaced = 0;
    for line in text(&format!("scrape/{example}")).lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with(discovery) {
            replaced += 1;
            is_service = true;
            config += &format!("{}file_sd_configs: [{{files: [found.yaml]}}]\n", " ".repeat(indent));
        } else if !is_service || indent <= 4 {
            is_service = false;
            config += line;
            config.push('\n');
        }
    }
    assert_eq!(replaced, 1, "{example} has one {discovery}");
    let path = folder.path().join(example);
    fs::write(&path, config).expect("the folder takes files");
    fs::write(folder.path().join("found.yaml"), found).expect("the folder takes files");
    let path = path.display().to_string();
    let said = run("promtool", &["check", "service-discovery", "--timeout", "2s", &path, "epic-scheduler"]);
    let end = said.rfind(']').map_or(0, |end| end + 1);
    let all: Vec<Value> = serde_json::from_str(&said[..end]).unwrap_or_else(|error| panic!("{error}: {said}"));
    let kept = all.into_iter().map(|mut target| target["labels"].take());
    kept.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())).collect()
}

/// Every example but the one whose discovery Debian's build leaves out.
const EXAMPLES: [&str; 5] = ["static.yaml", "systemd.yaml", "docker.yaml", "marathon.yaml", "mesos-dns.yaml"];

#[test]
fn examples_are_configurations_of_prometheus() {
    install();
    let folder = etc();
    for example in EXAMPLES {
        let path = folder.path().join(example).display().to_string();
        let said = run("promtool", &["check", "config", &path]);
        assert!(said.contains("1 rule files found"), "{example}: {said}");
    }
}

#[test]
fn of_what_kubernetes_tells_only_replicas_are_scraped_and_know_their_release() {
    install();
    let pod = "__meta_kubernetes_namespace: prod, __meta_kubernetes_pod_name: demo-epic-mesos-0, \
               __meta_kubernetes_pod_label_app_kubernetes_io_part_of: epic-mesos, \
               __meta_kubernetes_pod_label_app_kubernetes_io_instance: demo, \
               __meta_kubernetes_pod_annotation_prometheus_io_scheme: https";
    let annotated = "__meta_kubernetes_pod_annotation_prometheus_io_scrape: 'true'";
    let found = format!(
        "- labels: {{{pod}, {annotated}, __meta_kubernetes_pod_container_port_name: http}}
  targets: ['10.1.2.3:8080']
- labels: {{{pod}, {annotated}, __meta_kubernetes_pod_container_port_name: agents}}
  targets: ['10.1.2.3:8081']
- labels: {{{pod}, __meta_kubernetes_pod_container_port_name: http}}
  targets: ['10.1.2.4:8080']
- labels: {{__meta_kubernetes_pod_label_app_kubernetes_io_part_of: other, {annotated}}}
  targets: ['10.1.2.5:8080']
"
    );
    let targets = targets("kubernetes.yaml", "kubernetes_sd_configs:", &found);
    assert_eq!(targets.len(), 1, "{targets:?}");
    for (label, value) in [
        ("__address__", "10.1.2.3:8080"),
        ("__scheme__", "https"),
        ("job", "epic-mesos/demo"),
        ("namespace", "prod"),
        ("pod", "demo-epic-mesos-0"),
    ] {
        assert_eq!(targets[0][label], value, "{label}");
    }
}

#[test]
fn of_what_marathon_tells_only_the_port_for_prometheus_is_scraped() {
    install();
    let found = "- labels: {__meta_marathon_app: /prod/epic, __meta_marathon_port_definition_label_prometheus: 'true'}
  targets: ['10.0.0.1:31005', '10.0.0.2:31201']
- labels: {__meta_marathon_app: /prod/epic}
  targets: ['10.0.0.1:31006', '10.0.0.2:31202']
";
    let targets = targets("marathon.yaml", "marathon_sd_configs:", found);
    let of = |label: &str| targets.iter().map(|target| target[label].as_str().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of("__address__"), ["10.0.0.1:31005", "10.0.0.2:31201"]);
    assert_eq!(of("cluster"), ["prod/epic"; 2]);
    assert_eq!(of("job"), ["epic-scheduler"; 2]);
}
