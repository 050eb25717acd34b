//! One ZooKeeper server: its files, its process, and what it says of itself.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Pace, home};
use crate::address::Network;
use crate::process::{Process, Program, tail};

/// Where one server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    client: SocketAddr,
    /// Followers find their leader there.
    quorum: SocketAddr,
    election: SocketAddr,
}

impl Ports {
    pub(super) fn free(network: &Network, last: u8) -> Result<Self> {
        Ok(Self { client: network.free(last)?, quorum: network.free(last)?, election: network.free(last)? })
    }
}

#[derive(Debug)]
pub(super) struct Server {
    program: Program,
    process: Option<Process>,
    address: SocketAddr,
}

impl Server {
    /// Writes the files of one of the servers that listen on `all`; starts nothing.
    pub(super) fn new(
        work: &Path,
        index: usize,
        (all, pace): (&[Ports], Pace),
        (heap_mib, options): (u32, &[&str]),
    ) -> Result<Self> {
        let home = home(work, index);
        let data = data(work, index);
        make(&data, index)?;
        let file = home.join("zoo.cfg");
        fs::write(&file, settings(&data, index, all, pace)).context("cannot write zoo.cfg")?;
        // With all of the directory's jars on the class path the loggers call each other for ever.
        let heap = format!("-Xmx{heap_mib}m");
        let args = [
            heap.as_str(),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            // A server that was stopped still takes connections; the others must not wait for its words.
            "-Dzookeeper.cnxTimeout=500",
            "-cp",
            "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar",
        ];
        let main = ["org.apache.zookeeper.server.quorum.QuorumPeerMain"];
        let program = Program::new("/usr/bin/java", home.join("log")).args(args).args(options.iter().copied());
        let program = program.args(main).args([file]).env("HOME", home);
        Ok(Self { program, process: None, address: all[index].client })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn was_started(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the ZooKeeper server at {} runs already", self.address);
        self.process = Some(self.program.start()?);
        Ok(())
    }

    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref();
        process.with_context(|| format!("the ZooKeeper server at {} does not run", self.address))?.signal(signal)
    }

    /// How it ended, if it did by itself.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Process::exited)
    }

    /// What it is to the others, `standalone`, `leader` or `follower`: it has a mode only once it serves.
    pub(super) async fn mode(&self) -> Result<String> {
        // A server that is asked while it loads its database may drop the question and keep the connection open.
        let answer = tokio::time::timeout(Duration::from_secs(1), srvr(self.address)).await;
        let answer = answer.context("no answer within a second")??;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
        Ok(mode.with_context(|| format!("{} says {answer:?}", self.address))?.to_owned())
    }

    /// The number of its last transaction.
    pub(super) async fn zxid(&self) -> Result<u64> {
        let answer = srvr(self.address).await?;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        Ok(u64::from_str_radix(zxid.with_context(|| format!("{} doesn't say", self.address))?, 16)?)
    }

    pub(super) fn log_tail(&self, lines: usize) -> String {
        tail(self.program.log(), lines)
    }
}

/// Removes what a server that doesn't run has written.
pub(super) fn empty(work: &Path, index: usize) -> Result<()> {
    let data = data(work, index);
    fs::remove_dir_all(&data).context("cannot empty ZooKeeper")?;
    make(&data, index)
}

fn make(data: &Path, index: usize) -> Result<()> {
    fs::create_dir_all(data)?;
    fs::write(data.join("myid"), (index + 1).to_string()).context("cannot write myid")
}

pub(super) fn data(work: &Path, index: usize) -> PathBuf {
    home(work, index).join("data")
}

async fn srvr(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Source: ZooKeeper 3.8 administrator's guide; `initLimit` and `syncLimit` are in ticks.
fn settings(data: &Path, index: usize, all: &[Ports], pace: Pace) -> String {
    let own = all[index].client;
    let mut settings = format!(
        "dataDir={}\nclientPortAddress={}\nclientPort={}\ntickTime={}\nmaxClientCnxns=0\nadmin.enableServer=false\n\
         4lw.commands.whitelist=srvr\nminSessionTimeout=1000\nmaxSessionTimeout={}\n",
        data.display(),
        own.ip(),
        own.port(),
        pace.tick.as_millis(),
        pace.session_max.as_millis(),
    );
    if all.len() > 1 {
        settings += "initLimit=50\nsyncLimit=10\n";
        for (number, ports) in (1..).zip(all) {
            let Ports { quorum, election, .. } = ports;
            let _infallible = writeln!(settings, "server.{number}={quorum}:{}", election.port());
        }
    }
    settings
}
