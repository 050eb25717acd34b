//! A real ZooKeeper server from the Debian package, alone and in memory of one test.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::Network;
use crate::kit;
use crate::process::{Process, Program};
use crate::wait;

/// A running server; dropping it removes it and its data.
#[derive(Debug)]
pub struct ZooKeeper {
    process: Option<Process>,
    program: Program,
    address: SocketAddr,
    _network: Network,
    work: TempDir,
}

impl ZooKeeper {
    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// When the packages cannot be installed, or it does not serve in time (with the end of its log).
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server whose Java has these options too, and waits until it serves.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn start_with(options: &[&str]) -> anyhow::Result<Self> {
        kit::install("zookeeper")?;
        let network = Network::take()?;
        let address = network.free(1)?;
        let work = tempfile::Builder::new().prefix("epic-zookeeper-").tempdir()?;
        let program = program(work.path(), address, options)?;
        let mut server = Self { process: None, program, address, _network: network, work };
        server.restart().await?;
        Ok(server)
    }

    /// Where it listens, the same after a restart.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address in the form that Mesos takes: `zk://ip:port/path`, for a path with its slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("zk://{}{path}", self.address)
    }

    /// Returns the number of its last transaction.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn zxid(&self) -> anyhow::Result<u64> {
        let answer = srvr(self.address).await?;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        Ok(u64::from_str_radix(zxid.context("it doesn't say")?, 16)?)
    }

    /// Stops it where it is, or lets it go on.
    ///
    /// # Errors
    /// When it doesn't run, or can't be signalled.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.as_ref().context("ZooKeeper doesn't run")?.signal(signal)
    }

    /// Ends it with SIGKILL; its data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Removes its data while it doesn't run.
    ///
    /// # Errors
    /// When it runs, or the data can't be removed.
    pub fn empty(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "ZooKeeper runs");
        fs::remove_dir_all(self.work.path().join("data")).context("cannot empty ZooKeeper")
    }

    /// Starts it again on its data and port, and waits until it serves.
    ///
    /// # Errors
    /// When it runs already, or does not serve in time.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "ZooKeeper runs already");
        let process = self.process.insert(self.program.start()?);
        let address = self.address;
        let served = wait::until("ZooKeeper serves", Duration::from_secs(30), async || {
            // An end is an answer too; waiting longer would not change it.
            match process.exited()? {
                Some(status) => Ok(Err(anyhow!("ZooKeeper ended ({status})"))),
                None => serves(address).await.map(Ok),
            }
        });
        let served = served.await.and_then(|outcome| outcome);
        served.map_err(|error| anyhow!("{error:#}\n{}", process.log_tail(30)))
    }
}

/// Asks `srvr`: it has a mode only once it serves.
async fn serves(address: SocketAddr) -> anyhow::Result<()> {
    // A server that is asked while it loads its database may drop the question and keep the connection open.
    let answer = tokio::time::timeout(Duration::from_secs(1), srvr(address)).await;
    let answer = answer.context("no answer within a second")??;
    ensure!(answer.contains("Mode: standalone"), "it says {answer:?}");
    Ok(())
}

async fn srvr(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The class path names what is needed: with all of the directory's the loggers call each other for ever.
fn program(work: &Path, address: SocketAddr, options: &[&str]) -> anyhow::Result<Program> {
    let data = work.join("data");
    let settings = format!(
        "dataDir={}\nclientPortAddress={}\nclientPort={}\ntickTime=500\nmaxClientCnxns=0\nadmin.enableServer=false\n\
         4lw.commands.whitelist=srvr\nminSessionTimeout=1000\nmaxSessionTimeout=60000\n",
        data.display(),
        address.ip(),
        address.port(),
    );
    let file = work.join("zoo.cfg");
    fs::write(&file, settings).context("cannot write zoo.cfg")?;
    let args = ["-Xmx64m", "-cp", "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"];
    let program = Program::new("/usr/bin/java", work.join("log")).args(args).args(options.iter().copied());
    Ok(program.args(["org.apache.zookeeper.server.quorum.QuorumPeerMain"]).args([file]))
}
