//! What everything is played on: a Kubernetes, outside of it a Mesos and a ZooKeeper, and the tools.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use epic_common_io::bundle;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{built, repository};
use epic_tests::kit;
use epic_tests::kubernetes::{Kubernetes, Programs, printed};
use epic_tests::leftovers::Leftovers;
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;

use crate::say::{Timed, say};

/// All that is there before the first release.
#[derive(Debug)]
pub(crate) struct Stage {
    // Fields are dropped in this order: pods end before what they use.
    pub(crate) kube: Kubernetes,
    pub(crate) mesos: Cluster,
    pub(crate) zookeeper: ZooKeeper,
    pub(crate) helm4: PathBuf,
    pub(crate) helm3: PathBuf,
    pub(crate) epicctl: PathBuf,
    /// The probe platform's bundle, and its sha256.
    pub(crate) bundle: PathBuf,
    pub(crate) sha256: String,
}

impl Stage {
    /// Brings everything up.
    pub(crate) async fn set() -> Result<Self> {
        kit::install("kube")?;
        let cluster = PathBuf::from(script("tests/kube/build.sh", &[])?);
        let (helm4, helm3) = (tool("4")?, tool("3")?);
        let programs = Programs { cluster, kubectl: helm4.with_file_name("kubectl") };
        let images = images()?;
        let timed = Timed::start();
        let kube = Kubernetes::start(&programs, &images).await?;
        say(&format!("a Kubernetes node takes pods ({timed})"));
        kube.volumes("node", VOLUMES)?;
        let zookeeper = ZooKeeper::start().await?;
        let mut spec = ClusterSpec::agents_of(AGENTS);
        spec.credentials = vec![(PRINCIPAL.to_owned(), SECRET.to_owned())];
        let mesos = Cluster::start(spec).await?;
        let bundle = kube.work_dir().join("platform.bin");
        bundle::build(&repository("tests/fixtures/probe-platform"), &bundle)?;
        let sha256 = bundle::verify(&bundle)?.to_string();
        let epicctl = built("epicctl")?;
        Ok(Self { kube, mesos, zookeeper, helm4, helm3, epicctl, bundle, sha256 })
    }

    /// Makes a namespace in which `mesos:5050` and `zookeeper:2181` are those outside.
    pub(crate) fn namespace(&self, name: &str) -> Result<()> {
        let mut manifest = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        for (service, port, address) in
            [("mesos", 5050, self.mesos.master_addr()), ("zookeeper", 2181, self.zookeeper.addr())]
        {
            manifest += &outside(name, service, port, address);
        }
        self.kube.apply(&manifest)?;
        Ok(())
    }

    /// The document of a platform of the bundle with so many workers.
    pub(crate) fn document(&self, workers: u32) -> String {
        let bundle = &self.sha256;
        format!(
            "kind: Platform\nlabel: {{name: test}}\nspec:\n  bundle: {{sha256: '{bundle}'}}\n  controllers: {{count: 1}}\n  workers: {{count: {workers}}}\n"
        )
    }

    /// Returns what to look for once all was dropped.
    pub(crate) fn leftovers(&self) -> [Leftovers; 2] {
        [self.kube.leftovers(), self.mesos.leftovers()]
    }

    /// Adds what the cluster says of its pods to an error.
    pub(crate) fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        let all = [
            "get pods,pvc,jobs,statefulsets -A -o wide",
            "get events -A --sort-by=.lastTimestamp",
            "-n plain logs --prefix --all-containers --tail=25 -l app.kubernetes.io/name=epic-mesos",
            "-n epic logs --prefix --all-containers --tail=25 -l app.kubernetes.io/name=epic-mesos",
            "-n nodes logs --prefix --all-containers --tail=25 -l app.kubernetes.io/name=epic-mesos",
            "-n policies logs --prefix --all-containers --tail=25 -l app.kubernetes.io/name=epic-mesos",
            "-n sealed logs --prefix --all-containers --tail=25 -l app.kubernetes.io/name=epic-mesos",
        ];
        let mut text = format!("{error:#}");
        for words in all {
            let said = match self.kube.kubectl(&words.split(' ').collect::<Vec<_>>()) {
                Ok(said) => said,
                Err(error) => format!("{error:#}"),
            };
            let lines: Vec<&str> = said.lines().collect();
            let last = lines.get(lines.len().saturating_sub(80)..).unwrap_or_default();
            text += &format!("\n--- kubectl {words}\n{}", last.join("\n"));
        }
        anyhow!("{text}")
    }

    /// Says how to look around.
    pub(crate) fn invitation(&self) -> String {
        format!(
            "look around, and end with Ctrl-C:
  nsenter -t {} -n env KUBECONFIG={} PATH=\"{}:{}:$PATH\" bash
In the namespace epic, mesos:5050 and zookeeper:2181 are those outside; Mesos knows {PRINCIPAL} by the secret {SECRET}.
The platform's bundle is {}",
            std::process::id(),
            self.kube.kubeconfig().display(),
            folder(&self.helm4),
            folder(&self.epicctl),
            self.bundle.display(),
        )
    }
}

fn folder(path: &Path) -> std::path::Display<'_> {
    path.parent().unwrap_or(path).display()
}

/// A service of this name that leads to an address outside of the cluster.
fn outside(namespace: &str, service: &str, port: u16, address: SocketAddr) -> String {
    let (ip, target) = (address.ip(), address.port());
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {service}, namespace: {namespace}}}
spec: {{ports: [{{name: tcp, protocol: TCP, port: {port}, targetPort: {target}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {service}-outside
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {service}}}
addressType: IPv4
ports: [{{name: tcp, protocol: TCP, port: {target}}}]
endpoints: [{{addresses: ['{ip}']}}]
"
    )
}

/// The scheduler's and epicctl's images, as files.
pub(crate) fn images() -> Result<Vec<PathBuf>> {
    let folder = std::env::var_os("EPIC_IMAGES").context("EPIC_IMAGES isn't set; start this by tests/kube/run.sh")?;
    Ok(["scheduler", "cli"].map(|image| PathBuf::from(&folder).join(format!("{image}.tar"))).into())
}

/// The path of a helm of this version, beside which there is a kubectl.
fn tool(major: &str) -> Result<PathBuf> {
    let path = PathBuf::from(script("tests/tools/helm.sh", &[major])?).join("helm");
    ensure!(path.is_file(), "tests/tools/helm.sh has made no {}", path.display());
    Ok(path)
}

/// The program that enforces network policies.
pub(crate) fn router() -> Result<PathBuf> {
    Ok(PathBuf::from(script("tests/tools/kube-router.sh", &[])?))
}

/// Runs a script of the repository and returns the last line that it prints.
fn script(path: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(repository(path)).args(args).output().with_context(|| format!("cannot start {path}"))?;
    let said = printed(path, &output)?;
    said.lines().last().map(str::to_owned).with_context(|| format!("{path} printed nothing"))
}

/// Who we are to Mesos.
pub(crate) const PRINCIPAL: &str = "bd";
pub(crate) const SECRET: &str = "secret-of-bd";
const AGENTS: u8 = 3;
// Each release claims three, and leaves them; that of the page has up to five, and claims three more for a new journal.
const VOLUMES: usize = 18;
