//! What is rendered, as Kubernetes' schemas and a linter of policies judge it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::charted::{SETS, rendered, rendered_for};
use super::objects::{list, objects};
use crate::tools::{output, root, run};

/// The oldest version that the chart takes, and the newest that there are schemas of.
const KUBERNETES: [&str; 2] = ["1.25", "1.37"];

#[test]
fn every_object_is_as_the_oldest_and_the_newest_kubernetes_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    for version in KUBERNETES {
        let all: Vec<String> = SETS.map(|set| without_custom(&rendered_for(set, version))).into();
        let count = all.iter().map(|text| objects(text).len()).sum();
        assert!(count > 40, "only {count} objects are looked at");
        fs::write(&file, all.join("\n---\n")).unwrap();
        assert_eq!(validated(&file, version), Ok(count), "Kubernetes {version}");
    }
}

#[test]
fn what_kubernetes_would_not_take_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    let text = without_custom(&rendered("least"));
    for (right, wrong) in [
        ("  publishNotReadyAddresses: true", "  publishNotReadyAdresses: true"),
        ("apiVersion: policy/v1\n", "apiVersion: policy/v9\n"),
        ("  replicas: 3", "  replicas: three"),
        ("              containerPort: 8080", "              containerPort: http"),
    ] {
        assert!(text.contains(right), "{right}");
        fs::write(&file, text.replace(right, wrong)).unwrap();
        assert!(validated(&file, "1.37").is_err(), "{wrong} was taken");
    }
}

#[test]
fn a_linter_finds_nothing_unwise_but_what_has_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    for set in SETS {
        fs::write(folder.path().join(format!("{set}.yaml")), rendered(set)).unwrap();
    }
    let skips = fs::read_to_string(root().join("tests/fixtures/chart/skips.txt")).unwrap();
    let skips: Vec<(&str, &str)> =
        skips.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect();
    let found = unwise(folder.path());
    let (skipped, left): (Vec<_>, Vec<_>) = found.iter().partition(|(id, _)| skips.iter().any(|(skip, _)| skip == id));
    assert_eq!(left, Vec::<&(String, String)>::new());
    for (skip, reason) in skips {
        assert!(reason.len() > 20, "{skip} is skipped without a reason");
        assert!(skipped.iter().any(|(id, _)| id == skip), "{skip} is skipped, and nothing breaks it any more");
    }
}

#[test]
fn what_a_linter_should_find_it_finds() {
    let folder = tempfile::tempdir().unwrap();
    let breaks = [
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "KSV001"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "KSV014"),
        ("drop: [ALL]", "drop: [NET_RAW]", "KSV003"),
    ];
    let mut text = rendered("least");
    for (right, wrong, _) in breaks {
        assert!(text.contains(right), "{right}");
        text = text.replace(right, wrong);
    }
    fs::write(folder.path().join("broken.yaml"), text).unwrap();
    let found = unwise(folder.path());
    for (_, wrong, id) in breaks {
        assert!(found.iter().any(|(found, _)| found == id), "{wrong} isn't found");
    }
}

/// Leaves out objects that Kubernetes knows only once the Prometheus operator is there; `custom.rs` looks at them.
fn without_custom(rendered: &str) -> String {
    let texts = rendered.split("\n---").filter(|text| objects(text).iter().any(|object| !object.is_custom()));
    texts.collect::<Vec<&str>>().join("\n---")
}

/// Counts the objects that are as they should be, or gives what is said; a warning is an error.
fn validated(file: &Path, version: &str) -> Result<usize, String> {
    let program = run("tests/tools/kubernetes-validate.sh", &[]);
    let file = file.display().to_string();
    let judged = output(program.trim_end(), &["-k", version, "--strict", &file]);
    let said = [judged.stdout, judged.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let passed = said.lines().filter(|line| line.starts_with("INFO") && line.contains(" passed ")).count();
    if judged.status.success() && said.lines().all(|line| line.starts_with("INFO")) { Ok(passed) } else { Err(said) }
}

/// Lists what trivy finds in a folder, as its id and message.
fn unwise(folder: &Path) -> Vec<(String, String)> {
    let program = run("tests/tools/trivy.sh", &[]);
    let cache = tempfile::tempdir().expect("a folder can be made");
    let (folder, cache) = (folder.display().to_string(), cache.path().display().to_string());
    let flags = ["config", "--quiet", "--skip-check-update", "--format", "json", "--cache-dir", &cache, &folder];
    let judged: Value = serde_json::from_str(&run(program.trim_end(), &flags)).expect("trivy writes JSON");
    let results = list(judged.get("Results"));
    let tried: u64 = results.iter().filter_map(|result| result.pointer("/MisconfSummary/Successes")?.as_u64()).sum();
    assert!(tried >= 50, "only {tried} checks passed: did any run? {judged}");
    let text = |found: &Value, key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let found = results.iter().flat_map(|result| list(result.get("Misconfigurations")));
    found.map(|found| (text(found, "ID"), text(found, "Message"))).collect()
}
