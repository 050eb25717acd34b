//! Which crate may depend on which, and what the cores may not know at all.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::files::Repository;

/// One crate of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Crate {
    name: String,
    /// Its `Cargo.toml`.
    manifest: String,
    /// For building, running and testing it.
    dependencies: BTreeSet<String>,
}

/// Reads all crates of the workspace as cargo sees them.
pub(crate) fn read(repository: &Repository) -> Vec<Crate> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.expect("cargo built this test, so it can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let root = text(&metadata["workspace_root"]);
    let package = |package: &Value| {
        let path = text(&package["manifest_path"]);
        let path = path.strip_prefix(&root).expect("crates are below the workspace's root").trim_start_matches('/');
        let dependencies = list(&package["dependencies"]).iter().map(|dependency| text(&dependency["name"])).collect();
        Crate { name: text(&package["name"]), manifest: repository.text(path).to_owned(), dependencies }
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// Complains of each dependency that the architecture forbids.
pub(crate) fn edges(one: &Crate) -> Vec<String> {
    let name = &one.name;
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| known == name) else {
        return vec![format!("{name}: tests/tidy/crates.rs doesn't say what this crate may depend on")];
    };
    let ours = one.dependencies.iter().filter(|other| other.starts_with("epic-") && !allowed.contains(&other.as_str()));
    let mut complaints: Vec<String> =
        ours.map(|other| format!("{name} must not depend on {other}; it may depend on {allowed:?}")).collect();
    if CORES.contains(&name.as_str()) {
        let outside = one.dependencies.iter().filter(|other| {
            NOT_IN_CORES.iter().any(|banned| other == banned || other.starts_with(&format!("{banned}-")))
        });
        complaints.extend(outside.map(|other| format!("{name} is pure and must not depend on {other}")));
    }
    complaints
}

/// Complains if the workspace's lints don't hold for the crate.
pub(crate) fn lints(one: &Crate) -> Vec<String> {
    let inherits = one.manifest.contains("[lints]\nworkspace = true\n");
    if inherits || one.name == GENERATED {
        return Vec::new();
    }
    vec![format!("{}: its Cargo.toml lacks \"[lints]\" with \"workspace = true\"", one.name)]
}

/// The arrows of ARCHITECTURE.md.
const EDGES: [(&str, &[&str]); 9] = [
    ("epic-common", &[]),
    ("epic-proto", &[]),
    ("epic-scheduler-core", &["epic-common"]),
    ("epic-executor-core", &["epic-common"]),
    ("epic-common-io", &["epic-common", "epic-proto"]),
    ("epic-scheduler", &["epic-common", "epic-common-io", "epic-proto", "epic-scheduler-core"]),
    ("epic-executor", &["epic-common", "epic-common-io", "epic-proto", "epic-executor-core"]),
    ("epic-cli", &["epic-common", "epic-common-io"]),
    (
        "epic-tests",
        &[
            "epic-common",
            "epic-common-io",
            "epic-proto",
            "epic-scheduler",
            "epic-scheduler-core",
            "epic-executor",
            "epic-executor-core",
        ],
    ),
];

const CORES: [&str; 3] = ["epic-common", "epic-scheduler-core", "epic-executor-core"];

/// Clocks, randomness, I/O and runtimes; a name stands for all crates of its family.
const NOT_IN_CORES: [&str; 15] = [
    "actix",
    "async-std",
    "chrono",
    "futures",
    "getrandom",
    "hyper",
    "metrics",
    "nix",
    "prost",
    "rand",
    "reqwest",
    "tempfile",
    "tokio",
    "tracing",
    "uuid",
];

const GENERATED: &str = "epic-proto";

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata gives names and paths as text").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata gives lists")
}

#[cfg(test)]
fn sample(name: &str, dependencies: &[&str]) -> Crate {
    let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
    Crate { name: name.to_owned(), manifest: "[package]\n".to_owned(), dependencies }
}

#[test]
fn a_core_that_knows_a_runtime_is_found() {
    assert_eq!(edges(&sample("epic-common", &["serde", "thiserror"])), Vec::<String>::new());
    assert_eq!(edges(&sample("epic-common", &["tokio"])).len(), 1);
    assert_eq!(edges(&sample("epic-scheduler-core", &["actix-web", "metrics-process", "imbl"])).len(), 2);
    assert_eq!(edges(&sample("epic-executor", &["tokio", "actix"])), Vec::<String>::new());
}

#[test]
fn an_arrow_from_left_to_right_is_found() {
    assert_eq!(edges(&sample("epic-common", &["epic-common-io"])).len(), 1);
    assert_eq!(edges(&sample("epic-executor", &["epic-scheduler-core", "epic-common"])).len(), 1);
    assert_eq!(edges(&sample("epic-cli", &["epic-scheduler"])).len(), 1);
    assert_eq!(edges(&sample("epic-gateway", &[])).len(), 1);
}

#[test]
fn a_crate_with_lints_of_its_own_is_found() {
    let mut one = sample("epic-cli", &[]);
    assert_eq!(lints(&one).len(), 1);
    one.manifest.push_str("\n[lints]\nworkspace = true\n");
    assert_eq!(lints(&one), Vec::<String>::new());
}
