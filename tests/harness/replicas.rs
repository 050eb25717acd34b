//! Several schedulers that share a journal in a real ZooKeeper, each of which can be killed, stopped and emptied.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{Granted, LeaderView, PlatformView};
use epic_common_io::bundle;
use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::epic::{PATIENCE, brief, built, document, repository};
use crate::http;
use crate::process::{Process, Program, tail};
use crate::zookeeper::ZooKeeper;

/// How long ZooKeeper keeps the session of a silent replica here: longer than its own restart takes.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Replicas of one scheduler, by their index from 0, on one cluster.
#[derive(Debug)]
pub struct Replicas {
    /// The cluster that they run on.
    pub cluster: Cluster,
    /// Where their journal is.
    pub zookeeper: ZooKeeper,
    dir: PathBuf,
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    url: String,
    state_dir: PathBuf,
    program: Program,
    process: Option<Process>,
}

impl Replicas {
    /// Starts a ZooKeeper, makes the journal, and starts so many replicas of the probe platform with so many workers.
    ///
    /// # Errors
    /// Something can't be made or started.
    pub async fn start(cluster: Cluster, count: u8, workers: u32) -> Result<Self> {
        let mut replicas = Self::prepare(cluster, count, workers).await?;
        replicas.init().await?;
        for index in 0..count {
            replicas.restart(usize::from(index))?;
        }
        Ok(replicas)
    }

    /// Does what [`start`](Self::start) does, but makes no journal and starts no replica.
    ///
    /// # Errors
    /// Something can't be made.
    pub async fn prepare(cluster: Cluster, count: u8, workers: u32) -> Result<Self> {
        let zookeeper = ZooKeeper::start().await?;
        let dir = cluster.work_dir().join("replicas");
        fs::create_dir_all(&dir)?;
        let mut replicas = Self { cluster, zookeeper, dir, replicas: Vec::new() };
        bundle::build(&repository("tests/fixtures/probe-platform"), &replicas.bin())?;
        replicas.write_platform(workers)?;
        fs::write(replicas.token_file(), TOKEN)?;
        fs::set_permissions(replicas.token_file(), Permissions::from_mode(0o600))?;
        for index in 0..count {
            replicas.add(index)?;
        }
        Ok(replicas)
    }

    /// Gives an option to all that are started from now on.
    pub fn option(&mut self, flag: &str, value: &str) {
        for replica in &mut self.replicas {
            replica.program = replica.program.clone().args([flag, value]);
        }
    }

    /// Runs `epic-scheduler init`.
    ///
    /// # Errors
    /// It fails: what it says.
    pub async fn init(&self) -> Result<()> {
        let mut command = tokio::process::Command::new(built("epic-scheduler")?);
        command.args(["init", "--zk", &self.zk()]).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("init runs on")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "init ended with {}: {said}", output.status);
        Ok(())
    }

    fn add(&mut self, index: u8) -> Result<()> {
        let listen = self.cluster.network().free(200 + index)?;
        let home = self.dir.join(format!("r{index}"));
        fs::create_dir_all(&home)?;
        let state_dir = home.join("state");
        let args = [
            ("--master", self.cluster.master_addr().to_string()),
            ("--zk", self.zk()),
            ("--zk-session-timeout", format!("{}s", SESSION_TIMEOUT.as_secs())),
            ("--state-dir", state_dir.display().to_string()),
            ("--listen", listen.to_string()),
            ("--platform", self.platform_file().display().to_string()),
            ("--token-file", self.token_file().display().to_string()),
        ];
        let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        let program = Program::new(built("epic-scheduler")?, home.join("log")).args(args);
        self.replicas.push(Replica { url: format!("http://{listen}"), state_dir, program, process: None });
        Ok(())
    }

    /// Returns where their journal is.
    #[must_use]
    pub fn zk(&self) -> String {
        self.zookeeper.url("/epic")
    }

    /// Returns the platform's bundle.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.dir.join("platform.bin")
    }

    /// Returns the platform's document, the same for all.
    #[must_use]
    pub fn platform_file(&self) -> PathBuf {
        self.dir.join("platform.yaml")
    }

    /// Returns the file with the token that all accept.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("token")
    }

    /// Writes the platform's document anew.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_platform(&self, workers: u32) -> Result<()> {
        Ok(fs::write(self.platform_file(), document(&self.bin(), workers))?)
    }

    /// Returns where a replica answers.
    #[must_use]
    pub fn url(&self, index: usize) -> &str {
        &self.replicas[index].url
    }

    /// Gives a replica another argument from its next start on.
    pub fn arg(&mut self, index: usize, arg: &str) {
        let replica = &mut self.replicas[index];
        replica.program = replica.program.clone().args([arg]);
    }

    /// Starts a replica that doesn't run.
    ///
    /// # Errors
    /// It runs, or can't be started.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        let replica = &mut self.replicas[index];
        ensure!(replica.process.is_none(), "replica {index} runs already");
        replica.process = Some(replica.program.start()?);
        Ok(())
    }

    /// Kills a replica with SIGKILL.
    pub fn kill(&mut self, index: usize) {
        self.replicas[index].process = None;
    }

    /// Kills a replica, and removes all that it has on its disk.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn empty(&mut self, index: usize) -> Result<()> {
        self.kill(index);
        Ok(fs::remove_dir_all(&self.replicas[index].state_dir)?)
    }

    /// Stops a replica with SIGSTOP.
    ///
    /// # Errors
    /// It doesn't run.
    pub fn stop(&self, index: usize) -> Result<()> {
        self.signal(index, Signal::SIGSTOP)
    }

    /// Lets a stopped replica go on.
    ///
    /// # Errors
    /// It doesn't run.
    pub fn cont(&self, index: usize) -> Result<()> {
        self.signal(index, Signal::SIGCONT)
    }

    fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        let process = self.replicas[index].process.as_ref();
        process.with_context(|| format!("replica {index} doesn't run"))?.signal(signal)
    }

    /// Asks a replica to end in good order.
    ///
    /// # Errors
    /// It runs on, or doesn't end well.
    pub async fn terminate(&mut self, index: usize) -> Result<()> {
        self.signal(index, Signal::SIGTERM)?;
        let process = self.replicas[index].process.as_mut().context("it was signalled")?;
        let status = process.ended(PATIENCE).await?;
        self.kill(index);
        ensure!(status.success(), "replica {index} ended with {status}");
        Ok(())
    }

    /// Returns all that a replica has logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.replicas[index].program.log()).unwrap_or_default()
    }

    /// Asks a replica what it is.
    ///
    /// # Errors
    /// It doesn't answer within a second.
    pub async fn view(&self, index: usize) -> Result<LeaderView> {
        Ok(serde_json::from_str(&self.ask(index, "/api/v2/leader").await?)?)
    }

    /// Asks a replica what people see there.
    ///
    /// # Errors
    /// It doesn't answer within a second.
    pub async fn status(&self, index: usize) -> Result<PlatformView> {
        Ok(serde_json::from_str(&self.ask(index, "/api/v2/platform").await?)?)
    }

    /// Asks a replica whether it is of use: the reason why not is the error.
    ///
    /// # Errors
    /// It isn't.
    pub async fn ready(&self, index: usize) -> Result<()> {
        http::get(&format!("{}/readyz", self.url(index))).await.map(drop)
    }

    async fn ask(&self, index: usize, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url(index));
        let answer = http::client().get(&url).timeout(Duration::from_secs(1)).send().await?;
        ensure!(answer.status() == 200, "{url} answered {}", answer.status());
        Ok(answer.text().await?)
    }

    /// Returns the one replica that says that it leads; whoever gives no answer doesn't count.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn leader(&self) -> Result<usize> {
        let mut leading = Vec::new();
        let mut said = Vec::new();
        for index in 0..self.replicas.len() {
            let view = self.view(index).await;
            if view.as_ref().is_ok_and(|view| view.mode == "leading") {
                leading.push(index);
            }
            said.push(view);
        }
        match leading[..] {
            [leader] => Ok(leader),
            [] | [_, _, ..] => bail!("{leading:?} lead: {said:?}"),
        }
    }

    /// Waits until one replica leads, and all others that run and answer stand by and know it.
    ///
    /// # Errors
    /// That takes longer than a minute: what was seen last, and the logs' ends.
    pub async fn until_led(&self, by: impl Fn(usize) -> bool) -> Result<(usize, LeaderView)> {
        self.until("one replica leads", async || {
            let leader = self.leader().await?;
            ensure!(by(leader), "replica {leader} leads");
            let led = self.view(leader).await?;
            for index in (0..self.replicas.len()).filter(|index| *index != leader) {
                let Ok(view) = self.view(index).await else { continue };
                let knows = view.leader.as_deref() == Some(self.url(leader)) && view.epoch == led.epoch;
                ensure!(view.mode == "standby" && view.caught_up && knows, "replica {index}: {view:?}");
            }
            Ok((leader, led))
        })
        .await
    }

    /// Waits until any replica that answers shows so many members ready and no other.
    ///
    /// # Errors
    /// That takes longer than a minute: what was seen last, and the logs' ends.
    pub async fn until_ready(&self, members: usize) -> Result<PlatformView> {
        self.until("all members are ready", async || {
            for index in 0..self.replicas.len() {
                let Ok(view) = self.status(index).await else { continue };
                let ready = view.instances.iter().filter(|instance| instance.phase == "ready").count();
                let is_whole = ready == members && view.instances.len() == members && view.phase == "ready";
                ensure!(is_whole, "replica {index}: {ready} of {members} are ready; {}", brief(&view));
                return Ok(view);
            }
            bail!("no replica answers")
        })
        .await
    }

    /// Waits until what is asked for comes true, at most a minute.
    ///
    /// # Errors
    /// It doesn't: what was seen last, and the logs' ends.
    pub async fn until<T>(&self, what: &str, poll: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let outcome = crate::wait::until(what, PATIENCE, poll).await;
        let logs =
            || self.replicas.iter().map(|replica| tail(replica.program.log(), 30)).collect::<Vec<_>>().join("\n");
        outcome.with_context(logs)
    }

    /// Asks a replica for a change.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn post(&self, index: usize, path: &str) -> Result<Granted> {
        change(http::client().post(format!("{}{path}", self.url(index)))).await
    }

    /// Applies the platform's document, as it is now, at a replica.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn apply(&self, index: usize) -> Result<Granted> {
        let document = fs::read_to_string(self.platform_file())?;
        change(http::client().put(format!("{}/api/v2/platform", self.url(index))).body(document)).await
    }
}

async fn change(request: reqwest::RequestBuilder) -> Result<Granted> {
    let response = request.bearer_auth(TOKEN).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// The token that all accept.
pub const TOKEN: &str = "the-token-of-all-replicas";
