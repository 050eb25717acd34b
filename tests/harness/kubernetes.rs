//! A real Kubernetes of one node or a few, in namespaces of its own, with real names, services and pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::epic::repository;
use crate::leftovers::{Leftovers, PREFIX};
use crate::process::{Process, Program, tail};
use crate::wait;

/// A running cluster; dropping it ends every pod and program of it and removes its files.
///
/// The node is a machine of its own: whoever starts it must be in a network namespace of its own too (`unshare --net`),
/// which is what is outside of the cluster. There all of `10.0.0.0/8` is local, so that pods reach whoever listens on
/// it ([`crate::address::Network`] with `EPIC_NETWORK=10`), and a link leads to the node, its pods and its services.
#[derive(Debug)]
pub struct Kubernetes {
    // Fields are dropped in this order: the node ends before its files go.
    others: Vec<Process>,
    process: Process,
    state: PathBuf,
    programs: Programs,
    leftovers: Leftovers,
    work: Option<TempDir>,
}

/// The programs that a cluster is made of and asked with.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder that `tests/kube/build.sh` prints.
    pub cluster: PathBuf,
    /// The program `kubectl`.
    pub kubectl: PathBuf,
}

impl Kubernetes {
    /// Starts a node that has these images, as `docker save` writes them, and waits until it takes pods.
    ///
    /// # Errors
    /// The caller is in the machine's own network namespace, or the node doesn't come up (with the ends of its logs).
    pub async fn start(programs: &Programs, images: &[PathBuf]) -> Result<Self> {
        let devices = fs::read_to_string("/proc/self/net/dev")?;
        let others = devices.lines().skip(2).any(|line| !line.trim_start().starts_with("lo:"));
        ensure!(!others, "a Kubernetes needs a network namespace with nothing in it; start this by tests/kube/run.sh");
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let work = tempfile::Builder::new().prefix(&prefix).tempdir().context("cannot make a work directory")?;
        let leftovers = Leftovers::of(work.path(), None);
        let state = work.path().join("node");
        fs::create_dir(&state)?;
        let process = node(1, &state, (programs, images), &leftovers)?;
        let others = Vec::new();
        let mut cluster = Self { others, process, state, programs: programs.clone(), leftovers, work: Some(work) };
        link(1, cluster.process.pid()).await?;
        ip("link set lo up")?;
        ip(&format!("route replace local {LOCAL} dev lo"))?;
        ip(&format!("route add {SERVICES} via {NODE}"))?;
        let ready = cluster.state.join("ready");
        let came = is_ready(&mut cluster.process, &ready).await;
        came.with_context(|| cluster.log_tails())?;
        Ok(cluster)
    }

    /// Starts another node, `node2` or `node3`, and waits until it takes pods; what is outside routes between nodes.
    ///
    /// # Errors
    /// It doesn't come up (with the end of its log).
    pub async fn add_node(&mut self, images: &[PathBuf]) -> Result<String> {
        let number = u8::try_from(self.others.len())? + 2;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        let mut process = node(number, &self.state, (&self.programs, images), &self.leftovers)?;
        link(number, process.pid()).await?;
        let name = format!("node{number}");
        let came = is_ready(&mut process, &self.state.join(&name).join("ready")).await;
        came.with_context(|| process.log_tail(20))?;
        self.others.push(process);
        Ok(name)
    }

    /// Returns the administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.conf")
    }

    /// Returns where the node's containerd is asked.
    #[must_use]
    pub fn containerd(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// Returns a directory that goes away with the cluster.
    ///
    /// # Panics
    /// Never: the directory is there until the drop.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.work.as_ref().expect("the directory is taken only by drop").path()
    }

    /// Returns what to look for after the cluster was dropped.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        self.leftovers.clone()
    }

    /// Prepares a program that asks this cluster.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("KUBECONFIG", self.kubeconfig());
        command.env("HOME", self.work_dir()).stdin(Stdio::null());
        command
    }

    /// Runs `kubectl` to its end, whatever that is.
    ///
    /// # Errors
    /// It can't be started.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<Output> {
        self.command(&self.programs.kubectl).args(args).output().context("cannot start kubectl")
    }

    /// Runs `kubectl`, which must succeed, and returns what it prints.
    ///
    /// # Errors
    /// It fails: what it says.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        printed(&format!("kubectl {}", args.join(" ")), &self.try_kubectl(args)?)
    }

    /// Asks for objects as JSON: `get` with these words.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn get(&self, args: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "-o", "json"], args].concat())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Makes what a manifest describes, or changes it.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let file = self.work_dir().join("manifest.yaml");
        fs::write(&file, manifest)?;
        self.kubectl(&["apply", "-f", &file.display().to_string()])
    }

    /// Deletes a pod as people do and returns how long it took to be gone.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn delete_pod(&self, namespace: &str, pod: &str) -> Result<Duration> {
        let uid = self.get(&["-n", namespace, "pod", pod])?["metadata"]["uid"].clone();
        let begin = Instant::now();
        self.kubectl(&["-n", namespace, "delete", "pod", pod, "--wait=false"])?;
        let gone = wait::blocking_until(DELETED_WITHIN, || {
            self.get(&["-n", namespace, "pod", pod]).map_or(true, |now| now["metadata"]["uid"] != uid)
        });
        ensure!(gone, "the pod {pod} is still there {DELETED_WITHIN:?} after its deletion");
        Ok(begin.elapsed())
    }

    /// Starts kube-router on the node, so that network policies are enforced; what it has set up stays when it ends.
    ///
    /// # Errors
    /// It can't be started.
    pub fn enforce(&self, router: &Path) -> Result<Process> {
        let of = |kind: &str, file: &str| format!("--{kind}=/proc/{}/ns/{file}", self.process.pid());
        let program = Program::new("/usr/bin/nsenter", self.state.join("log/router.log"))
            .args([of("net", "net"), of("mount", "mnt"), of("pid", "pid_for_children")])
            .args([router])
            .args(["--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--health-port=0"])
            .args(["--hostname-override=node", &format!("--service-cluster-ip-range={SERVICES}")])
            .args([format!("--kubeconfig={}", self.kubeconfig().display())])
            .env("NODE_NAME", "node");
        program.start()
    }

    /// Makes so many volumes on a node, which claims are bound to by default.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn volumes(&self, node: &str, count: usize) -> Result<()> {
        let mut manifest = STORAGE_CLASS.to_owned();
        for index in 0..count {
            let name = format!("volume-{node}-{index}");
            let path = self.state.join(&name);
            fs::create_dir_all(&path)?;
            let volume = VOLUME.replace("NAME", &name).replace("HOST", node);
            manifest += &volume.replace("PATH", &path.display().to_string());
        }
        self.apply(&manifest).map(drop)
    }

    /// Returns the ends of the logs of the node's programs.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let logs = fs::read_dir(self.state.join("log")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut logs: Vec<_> = logs.collect();
        logs.sort();
        logs.insert(0, self.process.log().to_owned());
        logs.iter().map(|log| tail(log, 8)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.others.clear();
        self.process.kill();
        for number in 1..=3 {
            // Its other end is gone with the node's namespace, at the latest when the last program of it has ended.
            let _gone = ip(&format!("link del node{number}"));
        }
        let Some(work) = self.work.take() else { return };
        let path = work.keep();
        if std::env::var_os("EPIC_KEEP").is_some_and(|keep| keep == "1") {
            self.leftovers.end();
            #[expect(clippy::print_stderr, reason = "whoever set EPIC_KEEP wants to know where to look")]
            {
                eprintln!("kept {}", path.display());
            }
        } else {
            self.leftovers.remove();
        }
    }
}

/// What happens to the way from outside to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is there again.
    Add,
    /// It is no more.
    Remove,
}

/// Takes the way from outside to pods away, or gives it back; the node's own address can be reached all the time.
///
/// # Errors
/// It is so already.
pub fn route_to_pods(change: Route) -> Result<()> {
    match change {
        Route::Add => ip(&format!("route add {PODS} via {NODE}")),
        Route::Remove => ip(&format!("route del {PODS} via {NODE}")),
    }
}

/// Returns the address of a node, by its number from 1.
#[must_use]
pub fn address_of(number: u8) -> String {
    format!("172.30.{}.2", 256 - u16::from(number))
}

/// Returns what a program has printed, which must have succeeded.
///
/// # Errors
/// It has failed: all that it has said.
pub fn printed(what: &str, output: &Output) -> Result<String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{what} ends with {}:\n{stdout}{stderr}", output.status);
    Ok(stdout.into_owned())
}

/// Starts a node of a cluster, by its number from 1.
fn node(
    number: u8,
    state: &Path,
    (programs, images): (&Programs, &[PathBuf]),
    leftovers: &Leftovers,
) -> Result<Process> {
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let group = leftovers.cgroup(&format!("node{number}"));
    Program::new("/usr/bin/unshare", state.with_file_name(format!("node{number}.log")))
        .args(namespaces)
        .args([repository("tests/kube/node.sh").canonicalize()?, state.to_owned()])
        .args([number.to_string()])
        .args([programs.cluster.clone(), programs.kubectl.clone()])
        .args([group])
        .args(images)
        .start()
}

/// Connects the namespace around to a node's.
async fn link(number: u8, pid: u32) -> Result<()> {
    let own = fs::read_link("/proc/self/ns/net")?;
    wait::until("the node's network namespace", Duration::from_secs(10), async || {
        ensure!(fs::read_link(format!("/proc/{pid}/ns/net"))? != own, "it is still this one");
        Ok(())
    })
    .await?;
    let (net, link) = (256 - u16::from(number), format!("node{number}"));
    ip(&format!("link add {link} type veth peer name eth0 netns {pid}"))?;
    ip(&format!("addr add 172.30.{net}.1/30 dev {link}"))?;
    ip(&format!("link set {link} up"))?;
    ip(&format!("route add 172.30.{}.0/24 via {}", number - 1, address_of(number)))
}

async fn is_ready(process: &mut Process, file: &Path) -> Result<()> {
    let ready = wait::until("a node that takes pods", READY_WITHIN, async || {
        if let Some(status) = process.exited()? {
            return Ok(Some(status));
        }
        ensure!(file.exists(), "it doesn't");
        Ok(None)
    });
    ready.await?.map_or(Ok(()), |status| bail!("the node ended ({status})"))
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("/sbin/ip").args(words.split(' ')).output().context("cannot start ip")?;
    printed(&format!("ip {words}"), &output).map(drop)
}

/// The node's address.
pub const NODE: &str = "172.30.255.2";
/// The address of what is outside, as the node sees it.
pub const OUTSIDE: &str = "172.30.255.1";
/// The addresses of pods.
pub const PODS: &str = "172.30.0.0/24";
/// The addresses of services.
pub const SERVICES: &str = "172.31.0.0/16";
const LOCAL: &str = "10.0.0.0/8";
const READY_WITHIN: Duration = Duration::from_secs(120);
const DELETED_WITHIN: Duration = Duration::from_secs(60);
const STORAGE_CLASS: &str = "\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: node
  annotations: {storageclass.kubernetes.io/is-default-class: 'true'}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
";
// Volumes of this kind are given to the pod's group, as those of real providers are.
const VOLUME: &str = "\
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME}
spec:
  storageClassName: node
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: PATH}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [HOST]}]
";
