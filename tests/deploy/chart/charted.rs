//! The chart as both versions of helm render it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::objects::{Object, objects};
use crate::tools::{output, root, run};

/// The values that the chart is rendered with: folders of `tests/fixtures/chart/`.
pub(super) const SETS: [&str; 5] = ["least", "existing", "made", "node-port", "everything"];

/// One version of helm.
#[derive(Debug)]
pub(super) struct Helm {
    pub(super) version: &'static str,
    program: PathBuf,
}

/// What helm has made of the chart, or why it hasn't.
pub(super) type Rendered = Result<String, String>;

impl Helm {
    /// Returns helm 3.17.3 and 4.3.1, and gets them if they aren't there.
    pub(super) fn both() -> &'static [Self; 2] {
        static BOTH: OnceLock<[Helm; 2]> = OnceLock::new();
        BOTH.get_or_init(|| [Self::get("3", "3.17.3"), Self::get("4", "4.3.1")])
    }

    /// Returns the newer one, where both do the same.
    pub(super) fn newer() -> &'static Self {
        let [_, newer] = Self::both();
        newer
    }

    /// Renders the chart with a file of values, and with more arguments of `helm template`.
    pub(super) fn template(&self, values: &Path, more: &[&str]) -> Rendered {
        let values = values.display().to_string();
        self.helm(&[&["template", "epic", "helm/epic-mesos", "--namespace", "big", "--values", &values], more].concat())
    }

    /// Runs helm in the repository's root.
    pub(super) fn helm(&self, args: &[&str]) -> Rendered {
        let ran = output(&self.program.display().to_string(), args);
        let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        if ran.status.success() { Ok(stdout.into_owned()) } else { Err(format!("{stdout}{stderr}")) }
    }

    fn get(major: &str, version: &'static str) -> Self {
        let folder = run("tests/tools/helm.sh", &[major]);
        Self { version, program: Path::new(folder.trim_end()).join("helm") }
    }
}

/// Returns the file with a set's values.
pub(super) fn values_of(set: &str) -> PathBuf {
    root().join("tests/fixtures/chart").join(set).join("values.yaml")
}

/// Renders a set that must be rendered.
///
/// # Panics
///
/// Helm refuses it.
pub(super) fn rendered(set: &str) -> String {
    rendered_for(set, "1.35")
}

/// As [`rendered`], for a cluster of such a version.
pub(super) fn rendered_for(set: &str, version: &str) -> String {
    let rendered = Helm::newer().template(&values_of(set), &["--kube-version", version]);
    rendered.unwrap_or_else(|why| panic!("{set} can't be rendered: {why}"))
}

/// Renders all sets to objects, each with the name of its set.
pub(super) fn all() -> &'static [(&'static str, Vec<Object>)] {
    static ALL: OnceLock<Vec<(&str, Vec<Object>)>> = OnceLock::new();
    ALL.get_or_init(|| SETS.map(|set| (set, objects(&rendered(set)))).into())
}

#[test]
fn both_versions_find_nothing_to_complain_of() {
    for helm in Helm::both() {
        assert!(helm.helm(&["version", "--short"]).unwrap().contains(helm.version));
        for set in SETS {
            let values = values_of(set).display().to_string();
            let said = helm.helm(&["lint", "--strict", "helm/epic-mesos", "--values", &values]);
            assert!(
                said.as_ref().is_ok_and(|said| said.contains("0 chart(s) failed")),
                "{} {set}: {said:?}",
                helm.version
            );
        }
    }
}

#[test]
fn the_chart_has_the_version_of_the_programs() {
    let chart = std::fs::read_to_string(root().join("helm/epic-mesos/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nappVersion: {version}\n")), "{chart}");
}

#[test]
fn what_is_said_after_an_install_names_what_is_there() {
    for (set, objects) in all() {
        let values = values_of(set).display().to_string();
        let args = ["install", "epic", "helm/epic-mesos", "-n", "big", "--dry-run=client", "--values", &values];
        let said = Helm::newer().helm(&args).unwrap();
        let (_, notes) = said.split_once("NOTES:").unwrap();
        let service = objects.iter().find(|object| object.kind() == "Service").unwrap();
        assert!(notes.contains(&format!("port-forward svc/{} 8080:", service.name())), "{set}: {notes}");
        assert_eq!(
            notes.contains("https://localhost:8080 --ca-file ca.crt"),
            ["existing", "made"].contains(set),
            "{notes}"
        );
        assert_eq!(notes.contains("epicctl bundle push"), *set != "everything", "{notes}");
        assert!(!notes.contains("not-a-real") && !notes.contains("fixed-for"), "a secret is said: {notes}");
    }
}
