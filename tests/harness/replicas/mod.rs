//! Several schedulers that share a journal in a real ZooKeeper, each of which can be killed, stopped and emptied.

mod ask;
pub mod tls;

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common_io::bundle;
use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::epic::{PATIENCE, built, document, repository};
use crate::http;
use crate::process::{Process, Program};
use crate::relay::Relays;
use crate::replicas::tls::Authority;
use crate::zookeeper::ZooKeeper;

/// How long ZooKeeper keeps the session of a silent replica here: longer than its own restart takes.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Replicas of one scheduler, by their index from 0, on one cluster.
///
/// Each reaches ZooKeeper only through a relay of its own, which can be cut.
#[derive(Debug)]
pub struct Replicas {
    replicas: Vec<Replica>,
    /// The cluster that they run on.
    pub cluster: Cluster,
    /// Where their journal is.
    pub zookeeper: ZooKeeper,
    dir: PathBuf,
    bin: PathBuf,
    client: reqwest::Client,
    /// How often one of them has moved.
    homes: u8,
}

/// Who is started.
#[derive(Clone, Debug)]
pub struct Crew {
    /// How many replicas.
    pub count: u8,
    /// How many workers the platform has at first.
    pub workers: u32,
    /// How long ZooKeeper keeps the session of a silent one.
    pub session: Duration,
    /// The platform's bundle, by its absolute path; the probe platform's if there is none.
    pub bundle: Option<PathBuf>,
    /// Further flags of each.
    pub args: Vec<String>,
    /// Who signs the certificate of each; they speak plain http without it.
    pub authority: Option<Arc<Authority>>,
}

impl Crew {
    /// The usual ones.
    #[must_use]
    pub fn of(count: u8, workers: u32) -> Self {
        Self { count, workers, session: SESSION_TIMEOUT, bundle: None, args: Vec::new(), authority: None }
    }
}

#[derive(Debug)]
struct Replica {
    url: String,
    /// Where agents fetch artifacts.
    agents: String,
    state_dir: PathBuf,
    program: Program,
    process: Option<Process>,
    relays: Relays,
}

impl Replicas {
    /// Starts a ZooKeeper, makes the journal, and starts so many replicas of the probe platform with so many workers.
    ///
    /// # Errors
    /// Something can't be made or started.
    pub async fn start(cluster: Cluster, count: u8, workers: u32) -> Result<Self> {
        Self::start_on(cluster, ZooKeeper::start().await?, &Crew::of(count, workers)).await
    }

    /// As [`Self::start`], with a ZooKeeper that is there already.
    ///
    /// If the cluster's masters use it as well, the replicas find them there.
    ///
    /// # Errors
    /// Something can't be made or started.
    pub async fn start_on(cluster: Cluster, zookeeper: ZooKeeper, crew: &Crew) -> Result<Self> {
        Self::prepare_on(cluster, zookeeper, crew)?.run().await
    }

    /// As [`Self::start`], but no replica is told of a platform, and none has its bundle.
    ///
    /// # Errors
    /// Something can't be made or started.
    pub async fn start_bare(cluster: Cluster, count: u8) -> Result<Self> {
        let mut replicas = Self::prepare(cluster, count, 0).await?;
        for replica in &mut replicas.replicas {
            replica.program = replica.program.clone().without("--platform");
        }
        replicas.run().await
    }

    async fn run(mut self) -> Result<Self> {
        self.init().await?;
        for index in 0..self.replicas.len() {
            self.restart(index)?;
        }
        Ok(self)
    }

    /// Does what [`start`](Self::start) does, but makes no journal and starts no replica.
    ///
    /// # Errors
    /// Something can't be made.
    pub async fn prepare(cluster: Cluster, count: u8, workers: u32) -> Result<Self> {
        Self::prepare_on(cluster, ZooKeeper::start().await?, &Crew::of(count, workers))
    }

    fn prepare_on(cluster: Cluster, zookeeper: ZooKeeper, crew: &Crew) -> Result<Self> {
        let dir = cluster.work_dir().join("replicas");
        fs::create_dir_all(&dir)?;
        let client = crew.authority.as_ref().map_or_else(|| Ok(http::client().clone()), |known| known.client())?;
        let bin = dir.join("platform.bin");
        let mut replicas = Self { replicas: Vec::new(), cluster, zookeeper, bin, dir, client, homes: 0 };
        match &crew.bundle {
            Some(bundle) => replicas.bin.clone_from(bundle),
            None => drop(bundle::build(&repository("tests/fixtures/probe-platform"), &replicas.bin)?),
        }
        replicas.write_platform(crew.workers)?;
        fs::write(replicas.token_file(), TOKEN)?;
        fs::set_permissions(replicas.token_file(), Permissions::from_mode(0o600))?;
        for index in 0..crew.count {
            replicas.add(index, crew)?;
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

    fn add(&mut self, index: u8, crew: &Crew) -> Result<()> {
        let listen = self.cluster.network().free(200 + index)?;
        let home = self.dir.join(format!("r{index}"));
        fs::create_dir_all(&home)?;
        let state_dir = home.join("state");
        let relays = Relays::before(&self.zookeeper, 50 + index)?;
        let path = self.cluster.zookeeper().and_then(|url| url.rsplit_once('/')).map(|(_, name)| format!("/{name}"));
        let master = path.map_or_else(|| self.cluster.master_addr().to_string(), |path| relays.url(&path));
        let args = [
            ("--master", master),
            ("--zk", relays.url(JOURNAL)),
            ("--zk-session-timeout", format!("{}ms", crew.session.as_millis())),
            ("--state-dir", state_dir.display().to_string()),
            ("--listen", listen.to_string()),
            ("--platform", self.platform_file().display().to_string()),
            ("--token-file", self.token_file().display().to_string()),
        ];
        let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).chain(crew.args.clone());
        let mut program = Program::new(built("epic-scheduler")?, home.join("log")).args(args);
        let mut url = format!("http://{listen}");
        let mut agents = url.clone();
        if let Some(authority) = &crew.authority {
            (url, agents) =
                (format!("https://{listen}"), format!("http://{}", self.cluster.network().free(200 + index)?));
            let args = self.tls_args(authority, &home, (listen, &agents))?;
            program = program.args(args.iter().map(String::as_str));
        }
        self.replicas.push(Replica { url, agents, state_dir, program, process: None, relays });
        Ok(())
    }

    /// Returns where the journal is, by no relay.
    #[must_use]
    pub fn zk(&self) -> String {
        self.zookeeper.url(JOURNAL)
    }

    /// Returns the platform's bundle.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Returns where a replica keeps an artifact.
    #[must_use]
    pub fn kept(&self, index: usize, sha256: &str) -> PathBuf {
        self.replicas[index].state_dir.join("artifacts").join(sha256)
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
        Ok(fs::write(self.platform_file(), document(&self.bin, workers))?)
    }

    /// Returns a replica's state directory.
    #[must_use]
    pub fn state_dir(&self, index: usize) -> &Path {
        &self.replicas[index].state_dir
    }

    /// Returns a replica's metrics.
    ///
    /// # Errors
    /// It doesn't answer.
    pub async fn metrics(&self, index: usize) -> Result<String> {
        self.ask(index, "/metrics").await
    }

    /// Returns where a replica answers.
    #[must_use]
    pub fn url(&self, index: usize) -> &str {
        &self.replicas[index].url
    }

    /// Returns where agents fetch artifacts from a replica.
    #[must_use]
    pub fn agents_url(&self, index: usize) -> &str {
        &self.replicas[index].agents
    }

    /// Gives a replica another argument from its next start on.
    pub fn arg(&mut self, index: usize, arg: &str) {
        let replica = &mut self.replicas[index];
        replica.program = replica.program.clone().args([arg]);
    }

    /// Takes a flag with its value from a replica, from its next start on.
    pub fn unset(&mut self, index: usize, flag: &str) {
        let replica = &mut self.replicas[index];
        replica.program = replica.program.clone().without(flag);
    }

    /// Sets a variable of a replica's environment from its next start on.
    pub fn env(&mut self, index: usize, name: &str, value: &str) {
        let replica = &mut self.replicas[index];
        replica.program = replica.program.clone().env(name, value);
    }

    /// Kills a replica, and gives it another address from its next start on; whoever asks is told `advertise`, or that.
    ///
    /// # Errors
    /// There is no other address.
    pub fn rehome(&mut self, index: usize, advertise: Option<String>) -> Result<SocketAddr> {
        self.kill(index);
        // The address before stays taken: what still asks there must not be answered by somebody else.
        self.homes += 1;
        let listen = self.cluster.network().free(210 + self.homes)?;
        let replica = &mut self.replicas[index];
        replica.url = advertise.unwrap_or_else(|| format!("http://{listen}"));
        let program = replica.program.clone().without("--listen").without("--advertise");
        replica.program = program.args(["--listen", &listen.to_string(), "--advertise", &replica.url]);
        Ok(listen)
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

    /// Returns a replica's relays to ZooKeeper.
    #[must_use]
    pub fn relays(&self, index: usize) -> &Relays {
        &self.replicas[index].relays
    }

    /// Returns a replica's process id, if it was started.
    #[must_use]
    pub fn pid(&self, index: usize) -> Option<u32> {
        self.replicas[index].process.as_ref().map(Process::pid)
    }

    /// Tells how a replica ended that nobody killed; nothing if it runs, or was killed.
    ///
    /// # Errors
    /// The kernel refuses to say.
    pub fn ended(&mut self, index: usize) -> Result<Option<ExitStatus>> {
        self.replicas[index].process.as_mut().map_or(Ok(None), Process::exited)
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

    /// Returns the file with all that a replica has logged.
    #[must_use]
    pub fn log_file(&self, index: usize) -> &Path {
        self.replicas[index].program.log()
    }

    /// Returns all that a replica has logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.log_file(index)).unwrap_or_default()
    }
}

/// The journal's path in ZooKeeper.
const JOURNAL: &str = "/epic";
/// The token that all accept.
pub const TOKEN: &str = "the-token-of-all-replicas";
