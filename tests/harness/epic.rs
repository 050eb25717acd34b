//! The programs under test: a scheduler on a cluster, and what people see of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{Granted, InstanceView, PlatformView};
use epic_common_io::bundle;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::http;
use crate::process::{Process, Program};

/// How long anything may take that has no reason to take long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A scheduler, with a directory of its own below its cluster's.
#[derive(Debug)]
pub struct Epic {
    /// The cluster that it runs on.
    pub cluster: Cluster,
    dir: PathBuf,
    url: String,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    process: Option<Process>,
}

/// Returns a program of this workspace, built by the same profile as the caller.
///
/// # Errors
/// It isn't built.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    path.with_context(|| format!("{name} is not built; run cargo build --workspace"))
}

/// Returns a path of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

impl Epic {
    /// Prepares a scheduler for the probe platform with so many workers; nothing runs yet.
    ///
    /// # Errors
    /// The bundle can't be built, or there is no free address.
    pub fn probe(cluster: Cluster, workers: u32) -> Result<Self> {
        Self::fixture(cluster, "probe-platform", workers)
    }

    /// As [`Self::probe`], with each text of the manifest replaced by the one beside it, wherever it occurs.
    ///
    /// # Errors
    /// As [`Self::probe`], or a text isn't there.
    pub fn probe_with(cluster: Cluster, workers: u32, changes: &[(&str, &str)]) -> Result<Self> {
        let source = cluster.work_dir().join("epic/source");
        copy_tree(&repository("tests/fixtures/probe-platform"), &source)?;
        let manifest = source.join("manifest.yaml");
        let mut text = std::fs::read_to_string(&manifest)?;
        for (from, to) in changes {
            ensure!(text.contains(from), "the manifest of the probe platform has no {from:?}");
            text = text.replace(from, to);
        }
        std::fs::write(&manifest, text)?;
        let bin = cluster.work_dir().join("epic/platform.bin");
        bundle::build(&source, &bin)?;
        Self::of(cluster, &bin, workers)
    }

    /// As [`Self::probe`], with services that bind no port and only are there.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub fn quiet(cluster: Cluster, workers: u32) -> Result<Self> {
        Self::fixture(cluster, "quiet-platform", workers)
    }

    fn fixture(cluster: Cluster, name: &str, workers: u32) -> Result<Self> {
        let dir = cluster.work_dir().join("epic");
        std::fs::create_dir_all(&dir)?;
        let bin = dir.join("platform.bin");
        bundle::build(&repository("tests/fixtures").join(name), &bin)?;
        Self::of(cluster, &bin, workers)
    }

    /// Returns where the bundle of a fixture is.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.dir.join("platform.bin")
    }

    /// Prepares a scheduler for the platform of a bundle.
    ///
    /// # Errors
    /// The document can't be written, or there is no free address.
    pub fn of(cluster: Cluster, bin: &Path, workers: u32) -> Result<Self> {
        let dir = cluster.work_dir().join("epic");
        std::fs::create_dir_all(&dir)?;
        let listen = cluster.network().free(200)?;
        let mut epic =
            Self { dir, url: format!("http://{listen}"), args: Vec::new(), envs: Vec::new(), process: None, cluster };
        epic.write_platform(bin, workers)?;
        let platform = epic.platform_file().display().to_string();
        let args = [
            ("--master", epic.cluster.master_addr().to_string()),
            ("--state-dir", epic.state_dir().display().to_string()),
            ("--listen", listen.to_string()),
            ("--platform", platform),
        ];
        epic.args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        Ok(epic)
    }

    /// Writes the platform's document anew.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_platform(&self, bin: &Path, workers: u32) -> Result<()> {
        Ok(std::fs::write(self.platform_file(), document(bin, workers))?)
    }

    /// Returns the platform's document.
    #[must_use]
    pub fn platform_file(&self) -> PathBuf {
        self.dir.join("platform.yaml")
    }

    /// Returns the scheduler's state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Returns where the scheduler answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds flags for every later start.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the value of a flag for every later start.
    pub fn set(&mut self, flag: &str, value: &str) {
        let end = self.args.len();
        let place = self.args.iter().position(|arg| arg == flag).map_or(end..end, |place| place..place + 2);
        self.args.splice(place, [flag.to_owned(), value.to_owned()]);
    }

    /// Sets an environment variable for every later start; an empty value removes it.
    pub fn env(&mut self, name: &str, value: &str) {
        self.envs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.envs.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Starts the scheduler.
    ///
    /// # Errors
    /// It isn't built, or can't be started.
    pub fn start(&mut self) -> Result<()> {
        let mut program =
            Program::new(built("epic-scheduler")?, self.dir.join("scheduler.log")).args(self.args.clone());
        for (name, value) in &self.envs {
            program = program.env(name, value);
        }
        self.process = Some(program.start()?);
        Ok(())
    }

    /// Returns the scheduler's process id, if it was started.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills the scheduler with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Waits until the scheduler has ended by itself.
    ///
    /// # Errors
    /// It runs on, or never ran.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        self.process.as_mut().context("nothing was started")?.ended(PATIENCE).await
    }

    /// Asks the scheduler to end in good order.
    ///
    /// # Errors
    /// It can't be signalled, or runs on.
    pub async fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        self.process.as_ref().context("nothing was started")?.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    /// Returns all that schedulers started here have logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("scheduler.log")).unwrap_or_default()
    }

    /// Returns the end of the scheduler's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        crate::process::tail(&self.dir.join("scheduler.log"), 60)
    }

    /// Asks what people see.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn status(&self) -> Result<PlatformView> {
        let text = http::get(&format!("{}/api/v2/platform", self.url)).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until what people see passes `check`.
    ///
    /// # Errors
    /// It never does within `limit`: what was seen last, and the logs' ends.
    pub async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        check: impl Fn(&PlatformView) -> Result<T>,
    ) -> Result<T> {
        let url = format!("{}/api/v2/platform", self.url);
        let log = self.dir.join("scheduler.log");
        self.cluster
            .until(what, limit, async |_| {
                let text = http::get(&url).await?;
                let view: PlatformView = serde_json::from_str(&text)?;
                check(&view).with_context(|| brief(&view))
            })
            .await
            .with_context(|| crate::process::tail(&log, 60))
    }

    /// Waits until so many members are ready and no other is there.
    ///
    /// # Errors
    /// They never are.
    pub async fn until_ready(&mut self, members: usize) -> Result<PlatformView> {
        self.until("all members are ready", PATIENCE, |view| {
            let ready = view.instances.iter().filter(|instance| instance.phase == "ready").count();
            ensure!(ready == members && view.instances.len() == members, "{ready} of {members} are ready");
            ensure!(view.phase == "ready", "the platform is {}", view.phase);
            Ok(view.clone())
        })
        .await
    }

    /// Asks for a change with the scheduler's own token.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn post(&self, path: &str) -> Result<Granted> {
        let request = http::client().post(format!("{}{path}", self.url));
        self.change(request).await
    }

    /// Applies the platform's document as it is now.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn apply(&self) -> Result<Granted> {
        let document = std::fs::read_to_string(self.platform_file())?;
        let request = http::client().put(format!("{}/api/v2/platform", self.url)).body(document);
        self.change(request).await
    }

    async fn change(&self, request: reqwest::RequestBuilder) -> Result<Granted> {
        let token = std::fs::read_to_string(self.state_dir().join("token"))?;
        let response = request.bearer_auth(token.trim()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            bail!("{status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// The document of a platform with one controller and so many workers.
pub(crate) fn document(bin: &Path, workers: u32) -> String {
    let bin = bin.display();
    format!(
        "kind: Platform\nlabel: {{name: test}}\nspec:\n  bundle: {{uri: 'file://{bin}'}}\n  controllers: {{count: 1}}\n  workers: {{count: {workers}}}\n"
    )
}

/// Finds a member.
///
/// # Errors
/// There is none of this name.
pub fn member<'a>(view: &'a PlatformView, id: &str) -> Result<&'a InstanceView> {
    view.instances.iter().find(|instance| instance.id == id).with_context(|| format!("no member {id}"))
}

/// Returns the URL of a member's first service.
///
/// # Errors
/// It has none now.
pub fn endpoint(view: &PlatformView, id: &str) -> Result<String> {
    let endpoint = member(view, id)?.endpoints.first().with_context(|| format!("{id} has no endpoint"))?;
    Ok(endpoint.url.clone())
}

/// Lists the ids of all tasks that Mesos has in `state`, in order.
#[must_use]
pub fn tasks_in(tasks: &[Value], state: &str) -> Vec<String> {
    let here = tasks.iter().filter(|task| task["state"] == state);
    let mut ids: Vec<_> = here.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    ids
}

/// Copies a folder with all that is in it.
///
/// # Errors
/// Something can't be read or written.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What is worth knowing of a view when it isn't what it should be.
pub(crate) fn brief(view: &PlatformView) -> String {
    let mut text = format!("phase {}, mesos {:?}, waiting {:?}", view.phase, view.mesos, view.waiting);
    for instance in &view.instances {
        text += &format!(
            "\n  {} {} attempt {} on {}: {} {:?}",
            instance.id, instance.phase, instance.attempt, instance.host, instance.reason, instance.waiting
        );
    }
    text
}
