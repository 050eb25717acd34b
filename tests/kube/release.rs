//! One release of the chart: helm, epicctl, and what its pods are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{LeaderView, PlatformView};
use epic_tests::epic::repository;
use epic_tests::kubernetes::printed;
use epic_tests::process::{Process, Program};
use epic_tests::wait;
use serde_json::Value;

use crate::stage::Stage;

/// A release named `epic` in a namespace of its own.
pub(crate) struct Release<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) namespace: &'a str,
    helm: &'a Path,
}

/// What must stay as it is, whoever leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    framework: String,
    /// Each member's Mesos task.
    tasks: BTreeMap<String, String>,
    /// Restarts of services.
    restarts: u32,
}

/// A way to the release's Service that a person has, from outside: `kubectl port-forward`.
pub(crate) struct Door {
    _forward: Process,
    /// What `--server` is told, without the scheme.
    pub(crate) address: String,
}

impl<'a> Release<'a> {
    pub(crate) fn of(stage: &'a Stage, namespace: &'a str, helm: &'a Path) -> Self {
        Self { stage, namespace, helm }
    }

    /// Runs helm with these words and our namespace; it must succeed.
    pub(crate) fn helm(&self, words: &[&str]) -> Result<String> {
        let mut command = self.stage.kube.command(self.helm);
        command.args(words).args(["--namespace", self.namespace]);
        printed(&format!("helm {}", words.join(" ")), &command.output().context("cannot start helm")?)
    }

    /// Writes a file of values and installs the chart with it, or upgrades to it; waits as helm does.
    pub(crate) fn put(&self, verb: &str, values: &str) -> Result<String> {
        self.with_values(verb, values, &["--wait", "--timeout", "4m"])
    }

    /// As [`Self::put`], without waiting for anything.
    pub(crate) fn set(&self, verb: &str, values: &str) -> Result<String> {
        self.with_values(verb, values, &[])
    }

    fn with_values(&self, verb: &str, values: &str, more: &[&str]) -> Result<String> {
        let file = self.stage.kube.work_dir().join(format!("{}.yaml", self.namespace));
        fs::write(&file, values)?;
        let chart = repository("helm/epic-mesos").display().to_string();
        self.helm(&[&[verb, "epic", &chart, "--values", &file.display().to_string()], more].concat())
    }

    pub(crate) fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.stage.kube.kubectl(&[&["-n", self.namespace], words].concat())
    }

    /// Asks for objects of the namespace.
    pub(crate) fn get(&self, words: &[&str]) -> Result<Value> {
        self.stage.kube.get(&[&["-n", self.namespace], words].concat())
    }

    /// The replicas' pods.
    pub(crate) fn pods(&self) -> Result<Vec<Value>> {
        let pods = self.get(&["pods", "-l", REPLICAS])?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until so many replicas are ready, and no other is there.
    pub(crate) async fn until_ready(&self, count: usize) -> Result<()> {
        wait::until("all replicas are ready", PATIENCE, async || {
            let pods = self.pods()?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            ensure!(ready == count && pods.len() == count, "{ready} of {} are ready", pods.len());
            Ok(())
        })
        .await
    }

    /// How often containers of the replicas' pods were restarted.
    pub(crate) fn restarts(&self) -> Result<u64> {
        let pods = self.pods()?;
        let statuses = pods.iter().flat_map(|pod| pod["status"]["containerStatuses"].as_array().into_iter().flatten());
        Ok(statuses.filter_map(|status| status["restartCount"].as_u64()).sum())
    }

    /// The pods' addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<String>> {
        self.lister()()
    }

    /// Lists the pods' addresses, now and later.
    pub(crate) fn lister(&self) -> impl Fn() -> Result<Vec<String>> + Send + use<> {
        let kubeconfig = self.stage.kube.kubeconfig();
        let kubectl = self.stage.helm4.with_file_name("kubectl");
        let namespace = self.namespace.to_owned();
        move || {
            let mut command = std::process::Command::new(&kubectl);
            command.env("KUBECONFIG", &kubeconfig).args(["-n", &namespace, "get", "pods", "-l", REPLICAS]);
            let output = command.args(["-o", "jsonpath={.items[*].status.podIP}"]).output()?;
            Ok(printed("kubectl get pods", &output)?.split_whitespace().map(str::to_owned).collect())
        }
    }

    /// Asks a replica what it is, by its pod's address.
    async fn view(&self, pod: &Value) -> Result<LeaderView> {
        let ip = pod["status"]["podIP"].as_str().context("the pod has no address")?;
        let text = epic_tests::http::get(&format!("http://{ip}:8080/api/v2/leader")).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The name of the pod that leads.
    pub(crate) async fn leader(&self) -> Result<String> {
        let mut leading = Vec::new();
        for pod in self.pods()? {
            if self.view(&pod).await.is_ok_and(|view| view.mode == "leading") {
                leading.push(pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            }
        }
        match leading.as_slice() {
            [one] => Ok(one.clone()),
            [] | [_, _, ..] => bail!("{leading:?} lead"),
        }
    }

    /// Waits until one leads whose name passes, and returns it.
    pub(crate) async fn until_led(&self, by: impl Fn(&str) -> bool) -> Result<String> {
        wait::until("a leader", PATIENCE, async || {
            let leader = self.leader().await?;
            ensure!(by(&leader), "{leader} leads");
            Ok(leader)
        })
        .await
    }

    /// What any replica says of the platform, by the Service.
    pub(crate) async fn platform(&self) -> Result<PlatformView> {
        let service = self.get(&["service", FULL_NAME])?;
        let ip = service["spec"]["clusterIP"].as_str().context("the Service has no address")?;
        let text = epic_tests::http::get(&format!("http://{ip}:8080/api/v2/platform")).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until all of so many members are ready, and returns what must stay as it is.
    pub(crate) async fn until_standing(&self, members: usize) -> Result<Standing> {
        wait::until("all members are ready", PATIENCE, async || standing(&self.platform().await?, members)).await
    }

    /// Opens a way to a Service or pod, as people do.
    pub(crate) async fn door(&self, target: &str) -> Result<Door> {
        let log = self.stage.kube.work_dir().join("forward.log");
        // What an earlier one said is not what this one says.
        let _none = fs::remove_file(&log);
        let program = Program::new(self.stage.helm4.with_file_name("kubectl"), &log)
            .env("KUBECONFIG", self.stage.kube.kubeconfig())
            .env("HOME", self.stage.kube.work_dir())
            .args(["-n", self.namespace, "port-forward", target, ":8080"]);
        let forward = program.start()?;
        let address = wait::until("a way in", PATIENCE, async || {
            let said = fs::read_to_string(&log)?;
            let port = said.lines().find_map(|line| line.strip_prefix("Forwarding from 127.0.0.1:"));
            let port = port.and_then(|rest| rest.split(' ').next()).with_context(|| said.clone())?;
            Ok(format!("localhost:{port}"))
        })
        .await?;
        Ok(Door { _forward: forward, address })
    }

    /// Reads one key of a Secret into a file, as the notes of the chart say.
    pub(crate) fn secret_file(&self, secret: &str, key: &str) -> Result<String> {
        let template = format!("go-template={{{{index .data {key:?} | base64decode}}}}");
        let text = self.kubectl(&["get", "secret", secret, "-o", &template])?;
        let file = self.stage.kube.work_dir().join(format!("{}-{key}", self.namespace));
        fs::write(&file, text)?;
        Ok(file.display().to_string())
    }

    /// Runs epicctl, which must succeed.
    pub(crate) fn epicctl(&self, words: &[&str]) -> Result<String> {
        let mut command = self.stage.kube.command(&self.stage.epicctl);
        let output = command.args(words).output().context("cannot start epicctl")?;
        printed(&format!("epicctl {}", words.join(" ")), &output)
    }

    /// Writes the platform's document, and returns its path.
    pub(crate) fn document(&self, workers: u32) -> Result<String> {
        let file = self.stage.kube.work_dir().join(format!("{}-platform.yaml", self.namespace));
        fs::write(&file, self.stage.document(workers))?;
        Ok(file.display().to_string())
    }
}

/// What must stay as it is, once all members are ready.
pub(crate) fn standing(view: &PlatformView, members: usize) -> Result<Standing> {
    let ready = view.instances.iter().filter(|instance| instance.phase == "ready");
    ensure!(
        ready.clone().count() == members && view.instances.len() == members && view.phase == "ready",
        "{} of {} members are ready, the platform is {}: {:?}",
        ready.count(),
        view.instances.len(),
        view.phase,
        view.waiting,
    );
    let tasks = view.instances.iter().map(|instance| (instance.id.clone(), instance.task.clone())).collect();
    let services = view.instances.iter().flat_map(|instance| &instance.services);
    let restarts = services.map(|service| service.restarts).sum();
    Ok(Standing { framework: view.mesos.framework_id.clone(), tasks, restarts })
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        && pod["metadata"]["deletionTimestamp"].is_null()
}

/// The release's objects begin with this.
pub(crate) const FULL_NAME: &str = "epic-epic-mesos";
const REPLICAS: &str = "app.kubernetes.io/instance=epic,app.kubernetes.io/component=scheduler";
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
