//! Every manifest of the sets of values that the chart's tests hold, given to the real API server.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use epic_tests::epic::repository;

use crate::release::Release;
use crate::say::say;
use crate::stage::Stage;

/// Lets the server check all of it, without making anything.
pub(crate) fn play(stage: &Stage) -> Result<()> {
    monitoring(stage)?;
    stage.namespace(NAMESPACE)?;
    let folder = repository("tests/fixtures/chart");
    let mut sets: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    sets.retain(|path| path.join("values.yaml").is_file());
    sets.sort();
    ensure!(sets.len() >= 5, "there are only {} sets of values", sets.len());
    let chart = repository("helm/epic-mesos").display().to_string();
    for helm in [&stage.helm4, &stage.helm3] {
        let release = Release::of(stage, NAMESPACE, helm);
        for set in &sets {
            let values = set.join("values.yaml").display().to_string();
            let text = release.helm(&["template", "epic", &chart, "--values", &values])?;
            accounts(&release, &text)?;
            let file = stage.kube.work_dir().join("rendered.yaml");
            fs::write(&file, text)?;
            let said = release.kubectl(&["apply", "--dry-run=server", "-f", &file.display().to_string()])?;
            let objects = said.lines().count();
            ensure!(said.lines().all(|line| line.ends_with("(server dry run)")) && objects > 5, "{said}");
        }
    }
    say(&format!("the API server accepts the manifests of {} sets of values, by both helms", sets.len()));
    Ok(())
}

/// Makes the accounts of the pods, since the server refuses a pod whose account isn't there.
fn accounts(release: &Release<'_>, rendered: &str) -> Result<()> {
    let names = rendered.lines().filter_map(|line| line.trim().strip_prefix("serviceAccountName: "));
    let names: BTreeSet<&str> = names.filter(|name| *name != "default").collect();
    let of = |name: &&str| {
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n")
    };
    let all: Vec<String> = names.iter().map(of).collect();
    release.stage.kube.apply(&all.join("---\n")).map(drop)
}

/// Makes the Prometheus operator's kinds known.
pub(crate) fn monitoring(stage: &Stage) -> Result<()> {
    stage.kube.apply(MONITORING)?;
    let kinds = ["servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"];
    let known = ["wait", "--for=condition=Established", "--timeout=30s", "crd"];
    stage.kube.kubectl(&[&known[..], &kinds].concat()).map(drop)
}

const NAMESPACE: &str = "accepted";
/// The two kinds of the Prometheus operator, of any content.
const MONITORING: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: ServiceMonitor, plural: servicemonitors, singular: servicemonitor}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: prometheusrules.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PrometheusRule, plural: prometheusrules, singular: prometheusrule}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
