//! A real ZooKeeper from the Debian package: one server, or an ensemble of which each can be killed and stopped.

mod server;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::address::Network;
use crate::kit;
use crate::leftovers::PREFIX;
use crate::wait;

use server::{Ports, Server};

/// Running servers; dropping them removes them and their data.
#[derive(Debug)]
pub struct ZooKeeper {
    // Fields are dropped in this order: the servers end before their data is removed.
    servers: Vec<Server>,
    work: TempDir,
    network: Network,
}

/// How an ensemble's servers measure time, and how long they keep sessions.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The unit of all of ZooKeeper's times.
    pub tick: Duration,
    /// No session is kept longer, whatever a client asks for.
    pub session_max: Duration,
}

impl ZooKeeper {
    /// Starts one server that is alone and waits until it serves.
    ///
    /// # Errors
    /// When the packages cannot be installed, or it does not serve in time (with the end of its log).
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one server whose Java has these options too, and waits until it serves.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(options: &[&str]) -> Result<Self> {
        Self::with(1, USUAL, (HEAP_MIB, options)).await
    }

    /// Starts so many servers that elect a leader among them, and waits until all serve.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn ensemble(count: u8, pace: Pace) -> Result<Self> {
        Self::with(count, pace, (HEAP_MIB, &[])).await
    }

    /// As [`Self::ensemble`], with so much more memory that journals of 100,000 tasks fit.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn large(count: u8, pace: Pace) -> Result<Self> {
        Self::with(count, pace, (LARGE_HEAP_MIB, &[])).await
    }

    async fn with(count: u8, pace: Pace, java: (u32, &[&str])) -> Result<Self> {
        kit::install("zookeeper")?;
        let network = Network::take()?;
        // A name by which it is found and removed if this process is killed.
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let work = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let ports = (1..=count).map(|last| Ports::free(&network, last)).collect::<Result<Vec<_>>>()?;
        let make = |index| Server::new(work.path(), index, (&ports, pace), java);
        let servers = (0..ports.len()).map(make).collect::<Result<Vec<_>>>()?;
        let mut zookeeper = Self { servers, work, network };
        zookeeper.restart().await?;
        Ok(zookeeper)
    }

    /// Where the first server listens, the same after a restart.
    ///
    /// # Panics
    /// Never: there is a server.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.servers.first().expect("there is at least one server").address()
    }

    /// Where each server listens, the same after a restart.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// All addresses in the form that Mesos takes: `zk://ip:port,ip:port/path`, for a path with its slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        url(&self.addrs(), path)
    }

    /// An address of the servers' network on which whoever stands before them may listen.
    #[must_use]
    pub(crate) fn address(&self, last: u8) -> IpAddr {
        self.network.address(last)
    }

    /// Returns the number of the first server's last transaction.
    ///
    /// # Errors
    /// When it doesn't answer.
    ///
    /// # Panics
    /// Never: there is a server.
    pub async fn zxid(&self) -> Result<u64> {
        self.servers.first().expect("there is at least one server").zxid().await
    }

    /// Stops all servers where they are, or lets them go on.
    ///
    /// # Errors
    /// When one doesn't run, or can't be signalled.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.servers.iter().try_for_each(|server| server.signal(signal))
    }

    /// Ends all servers with SIGKILL; their data stays.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    /// Returns where a server's data is; to be touched only while it doesn't run.
    #[must_use]
    pub fn data(&self, index: usize) -> PathBuf {
        server::data(self.work.path(), index)
    }

    /// Removes the data of all servers while none runs.
    ///
    /// # Errors
    /// When one runs, or the data can't be removed.
    pub fn empty(&mut self) -> Result<()> {
        ensure!(!self.servers.iter().any(Server::was_started), "ZooKeeper runs");
        (0..self.servers.len()).try_for_each(|index| server::empty(self.work.path(), index))
    }

    /// Ends one server with SIGKILL; its data stays.
    pub fn kill_one(&mut self, index: usize) {
        self.servers[index].kill();
    }

    /// Starts all servers that do not run on their data and ports, and waits until all serve.
    ///
    /// # Errors
    /// When all run already, or one does not serve in time (with the ends of the logs).
    pub async fn restart(&mut self) -> Result<()> {
        let mut away: Vec<_> = self.servers.iter_mut().filter(|server| !server.was_started()).collect();
        ensure!(!away.is_empty(), "ZooKeeper runs already");
        away.iter_mut().try_for_each(|server| server.start())?;
        self.serve().await
    }

    /// Starts one server that was killed; does not wait.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn restart_one(&mut self, index: usize) -> Result<()> {
        self.servers[index].start()
    }

    /// Stops one server with SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop_one(&self, index: usize) -> Result<()> {
        self.servers[index].signal(Signal::SIGSTOP)
    }

    /// Lets a stopped server go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont_one(&self, index: usize) -> Result<()> {
        self.servers[index].signal(Signal::SIGCONT)
    }

    /// Waits until all servers that were started serve, in a quorum if there are several.
    ///
    /// # Errors
    /// When one has ended, or does not serve in time (with the ends of the logs).
    pub async fn serve(&mut self) -> Result<()> {
        let served = wait::until("ZooKeeper serves", SERVES_WITHIN, async || {
            for server in self.servers.iter_mut().filter(|server| server.was_started()) {
                // An end is an answer too; waiting longer would not change it.
                if let Some(status) = server.ended()? {
                    return Ok(Some(status));
                }
                server.mode().await?;
            }
            Ok(None)
        });
        match served.await {
            Ok(None) => Ok(()),
            Ok(Some(status)) => bail!("ZooKeeper ended ({status})\n{}", self.log_tails()),
            Err(error) => bail!("{error:#}\n{}", self.log_tails()),
        }
    }

    /// Finds the server that leads the others.
    ///
    /// # Errors
    /// When none of those that answer leads.
    pub async fn leader(&self) -> Result<usize> {
        for (index, server) in self.servers.iter().enumerate() {
            if server.mode().await.is_ok_and(|mode| mode != "follower") {
                return Ok(index);
            }
        }
        bail!("no server leads")
    }

    /// The ends of all logs.
    #[must_use]
    pub fn log_tails(&self) -> String {
        self.servers.iter().map(|server| server.log_tail(15)).collect::<Vec<_>>().join("\n")
    }
}

/// Addresses of ZooKeeper servers in the form that Mesos takes, for a path with its slash.
pub(crate) fn url(addresses: &[SocketAddr], path: &str) -> String {
    let servers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("zk://{}{path}", servers.join(","))
}

/// A directory below `work` for one server.
fn home(work: &Path, index: usize) -> PathBuf {
    work.join(format!("z{}", index + 1))
}

const USUAL: Pace = Pace { tick: Duration::from_millis(500), session_max: Duration::from_secs(60) };
const HEAP_MIB: u32 = 64;
const LARGE_HEAP_MIB: u32 = 1024;
const SERVES_WITHIN: Duration = Duration::from_secs(30);
