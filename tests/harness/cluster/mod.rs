//! A real Mesos cluster in separate processes, or in one, with parts that can be killed and started again.

mod view;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::address::Network;
use crate::kit::Kit;
use crate::leftovers::{Leftovers, PREFIX};
use crate::process::{Process, Program};
use crate::spec::ClusterSpec;

/// A running cluster; dropping it removes everything that it put on the machine.
///
/// Each agent has an address of its own, which is its hostname: services of different agents may use the same
/// port. With `EPIC_KEEP=1` in the environment the work directory stays, and its path is printed.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    network: Network,
    leftovers: Leftovers,
    masters: Vec<Node>,
    agents: Vec<Node>,
    work: Option<TempDir>,
}

/// One process of a cluster, by its index from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A master; in a cluster of one process `Master(0)` is all of it.
    Master(usize),
    /// An agent.
    Agent(usize),
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    program: Program,
    process: Option<Process>,
}

impl Cluster {
    /// Starts masters and agents as separate processes and waits until all agents are active.
    ///
    /// # Errors
    /// When the programs cannot be built or started, or the agents are not active in time (with the logs' ends).
    pub async fn start(spec: ClusterSpec) -> anyhow::Result<Self> {
        let mut cluster = Self::prepare(spec)?;
        let kit = Kit::ready()?;
        for index in 0..cluster.spec.masters {
            cluster.add_master(&kit, index)?;
        }
        for index in 0..cluster.spec.agents.len() {
            cluster.add_agent(&kit, index)?;
        }
        cluster.start_all()?;
        cluster.agents_active().await?;
        Ok(cluster)
    }

    /// Starts one process that holds a master and as many agents as the spec has, all like the spec's first.
    ///
    /// All agents have one address; an executor's output goes to the cluster's log. For tests that kill everything
    /// at once and whose services bind no port. With two or more agents nothing is confined.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_one_process(spec: ClusterSpec) -> anyhow::Result<Self> {
        let mut cluster = Self::prepare(spec)?;
        let kit = Kit::ready()?;
        let first = cluster.spec.agents.first().context("a cluster of one process needs an agent")?;
        let mut env = cluster.spec.agent_env(first, &cluster.leftovers.cgroup("all"));
        env.extend(cluster.spec.master_env(cluster.work_dir())?);
        let address = cluster.network.free(1)?;
        let program = cluster
            .program(&kit, "mesos-local", "all", address)
            .env("MESOS_NUM_SLAVES", cluster.spec.agents.len().to_string());
        cluster.masters.push(Node::new(address, with(program, env)));
        cluster.start_all()?;
        cluster.agents_active().await?;
        Ok(cluster)
    }

    /// The address of the first master that runs, else of the first.
    ///
    /// # Panics
    /// Never: a cluster has a master.
    #[must_use]
    pub fn master_addr(&self) -> SocketAddr {
        let running = self.masters.iter().find(|node| node.process.is_some());
        running.or(self.masters.first()).expect("a cluster has a master").address
    }

    /// The address of a part, the same after a restart.
    #[must_use]
    pub fn addr(&self, part: Part) -> SocketAddr {
        self.node(part).address
    }

    /// The process id of a part, if it runs.
    #[must_use]
    pub fn pid(&self, part: Part) -> Option<u32> {
        self.node(part).process.as_ref().map(Process::pid)
    }

    /// A directory that is removed with the cluster; tests may put their own things under it.
    ///
    /// # Panics
    /// Never: the directory is there until the drop.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.work.as_ref().expect("the directory is taken only by drop").path()
    }

    /// The addresses that belong to this cluster; those from 200 on are free for a test's own servers.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What to look for after the cluster was dropped.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        self.leftovers.clone()
    }

    /// All that a part has logged.
    #[must_use]
    pub fn log(&self, part: Part) -> String {
        fs::read_to_string(self.node(part).program.log()).unwrap_or_default()
    }

    /// Ends a part with SIGKILL; executors go on. Does nothing if it does not run.
    pub fn kill(&mut self, part: Part) {
        self.node_mut(part).process = None;
    }

    /// Stops a part with SIGSTOP; executors go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self, part: Part) -> anyhow::Result<()> {
        self.signal(part, Signal::SIGSTOP)
    }

    /// Lets a stopped part go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self, part: Part) -> anyhow::Result<()> {
        self.signal(part, Signal::SIGCONT)
    }

    fn signal(&self, part: Part, signal: Signal) -> anyhow::Result<()> {
        self.node(part).process.as_ref().with_context(|| format!("{part:?} does not run"))?.signal(signal)
    }

    /// Starts each master that does not run; one that has lost its session with ZooKeeper has ended by itself.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn revive_masters(&mut self) -> anyhow::Result<()> {
        for master in &mut self.masters {
            if let Some(process) = &mut master.process
                && process.exited()?.is_some()
            {
                master.process = None;
            }
            if master.process.is_none() {
                master.start()?;
            }
        }
        Ok(())
    }

    /// Where masters elect a leader, as `zk://host:port/path`; nothing if there is only one.
    #[must_use]
    pub fn zookeeper(&self) -> Option<&str> {
        self.spec.zookeeper.as_deref()
    }

    /// Starts a part that was killed, on its old port and directory. Does not wait.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn restart(&mut self, part: Part) -> anyhow::Result<()> {
        self.node_mut(part).start().with_context(|| format!("cannot restart {part:?}"))
    }

    /// Ends an agent with all that runs on it, as if its host had lost power.
    ///
    /// # Panics
    /// When there is no such agent.
    pub fn stop_host(&mut self, agent: usize) {
        self.kill(Part::Agent(agent));
        self.leftovers.end_agent(&self.spec.agents[agent].name);
    }

    fn prepare(spec: ClusterSpec) -> anyhow::Result<Self> {
        ensure!(spec.masters == 1 || spec.zookeeper.is_some(), "{} masters need ZooKeeper", spec.masters);
        let network = Network::take()?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let work = tempfile::Builder::new().prefix(&prefix).tempdir().context("cannot make a work directory")?;
        let leftovers = Leftovers::of(work.path(), Some(&network));
        Ok(Self { spec, network, leftovers, masters: Vec::new(), agents: Vec::new(), work: Some(work) })
    }

    fn add_master(&mut self, kit: &Kit, index: u8) -> anyhow::Result<()> {
        let address = self.network.free(index + 1)?;
        let name = format!("m{}", index + 1);
        let program = self.program(kit, "mesos-master", &name, address);
        let mut program = with(program, self.spec.master_env(self.work_dir())?);
        if let Some(zookeeper) = self.spec.master_zookeepers.get(usize::from(index)) {
            program = program.env("MESOS_ZK", zookeeper);
        }
        self.masters.push(Node::new(address, program));
        Ok(())
    }

    fn add_agent(&mut self, kit: &Kit, index: usize) -> anyhow::Result<()> {
        let spec = &self.spec.agents[index];
        let address = self.network.free(u8::try_from(index + 11).context("too many agents")?)?;
        let master = self.spec.zookeeper.clone().unwrap_or_else(|| self.master_addr().to_string());
        let env = self.spec.agent_env(spec, &self.leftovers.cgroup(&spec.name));
        let program = self.program(kit, "mesos-agent", &spec.name, address).env("MESOS_MASTER", master);
        self.agents.push(Node::new(address, with(program, env)));
        Ok(())
    }

    /// A program of the kit with its own directory, log and address.
    fn program(&self, kit: &Kit, program: &str, name: &str, address: SocketAddr) -> Program {
        let home = self.work_dir().join(name);
        let log = self.work_dir().join(format!("{name}.log"));
        Program::new(kit.program(program), log)
            .env("HOME", home.as_path())
            .env("MESOS_WORK_DIR", home.as_path())
            .env("MESOS_RUNTIME_DIR", home.join("run"))
            .env("MESOS_FETCHER_CACHE_DIR", home.join("fetch"))
            .env("MESOS_DOCKER_STORE_DIR", home.join("store/docker"))
            .env("MESOS_APPC_STORE_DIR", home.join("store/appc"))
            .env("MESOS_LAUNCHER_DIR", kit.launcher_dir())
            .env("MESOS_HOSTNAME", address.ip().to_string())
            .env("MESOS_IP", address.ip().to_string())
            .env("MESOS_PORT", address.port().to_string())
    }

    fn start_all(&mut self) -> anyhow::Result<()> {
        self.masters.iter_mut().chain(&mut self.agents).try_for_each(Node::start)
    }

    fn node(&self, part: Part) -> &Node {
        match part {
            Part::Master(index) => &self.masters[index],
            Part::Agent(index) => &self.agents[index],
        }
    }

    fn node_mut(&mut self, part: Part) -> &mut Node {
        match part {
            Part::Master(index) => &mut self.masters[index],
            Part::Agent(index) => &mut self.agents[index],
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.agents.iter_mut().chain(&mut self.masters) {
            node.process = None;
        }
        let Some(work) = self.work.take() else { return };
        // From here the directory is removed by path: mounts must go before it.
        let path = work.keep();
        if std::env::var_os("EPIC_KEEP").is_some_and(|keep| keep == "1") {
            self.leftovers.end();
            let kept = path.with_file_name(path.file_name().unwrap_or_default().to_string_lossy().replacen(
                PREFIX,
                "epic-mesos-kept.",
                1,
            ));
            let kept = if fs::rename(&path, &kept).is_ok() { kept } else { path };
            #[expect(clippy::print_stderr, reason = "whoever set EPIC_KEEP wants to know where to look")]
            {
                eprintln!("kept {}", kept.display());
            }
        } else {
            self.leftovers.remove();
        }
    }
}

impl Node {
    fn new(address: SocketAddr, program: Program) -> Self {
        Self { address, program, process: None }
    }

    fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.program.log().display());
        self.process = Some(self.program.start()?);
        Ok(())
    }
}

fn with(program: Program, env: BTreeMap<String, String>) -> Program {
    env.into_iter().fold(program, |program, (name, value)| program.env(&name, value))
}
