//! What a test's cluster is to look like.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// A cluster: one master (or several with ZooKeeper) and its agents.
///
/// [`ClusterSpec::agents_of`] gives the usual one; change its fields for another.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// The role of the agents' static reservations.
    pub role: String,
    /// The agents; their order is their index.
    pub agents: Vec<AgentSpec>,
    /// How containers are confined.
    pub isolation: Isolation,
    /// Principals and secrets; if there are any, frameworks must authenticate with HTTP basic authentication.
    pub credentials: Vec<(String, String)>,
    /// The master's access control lists, as in Mesos' `--acls`.
    pub acls: Option<Value>,
    /// `zk://host:port/path`; without it a single master appoints itself.
    pub zookeeper: Option<String>,
    /// Each master's own way to the same place, by its index; where there is none, `zookeeper`.
    pub master_zookeepers: Vec<String>,
    /// The number of masters; more than one needs `zookeeper`.
    pub masters: u8,
    /// Flags of the masters (no dashes, underscores), which win over the harness' own.
    pub master_flags: BTreeMap<String, String>,
    /// Flags of all agents, which win over the harness' own.
    pub agent_flags: BTreeMap<String, String>,
}

/// One agent.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// A short name, unique in the cluster; also its attribute `host`.
    pub name: String,
    /// Statically reserved for the cluster's role, in thousandths of a cpu.
    pub milli_cpus: u32,
    /// Statically reserved for the cluster's role, in MiB.
    pub mem_mib: u32,
    /// For any role, in MiB.
    pub disk_mib: u32,
    /// For any role, both ends included.
    pub ports: (u16, u16),
    /// Further resources for any role in Mesos' own words, such as `cpus:2;mem:1024`.
    pub unreserved: String,
    /// Attributes besides `host`.
    pub attributes: BTreeMap<String, String>,
}

/// How an agent confines its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// `cgroups/cpu,cgroups/mem` and the Linux launcher where cgroup v1 is writable, else as `Posix`.
    Cgroups,
    /// Not at all.
    Posix,
}

impl ClusterSpec {
    /// One master and `count` agents `a1`, `a2`, …, each with 2 cpus and 2 GiB reserved for `BlueData`, 10 GiB of
    /// disk and the ports 31000 to 31099.
    #[must_use]
    pub fn agents_of(count: u8) -> Self {
        Self {
            role: "BlueData".to_owned(),
            agents: (1..=count).map(|i| AgentSpec::named(&format!("a{i}"))).collect(),
            isolation: Isolation::Cgroups,
            credentials: Vec::new(),
            acls: None,
            zookeeper: None,
            master_zookeepers: Vec::new(),
            masters: 1,
            master_flags: BTreeMap::new(),
            agent_flags: BTreeMap::new(),
        }
    }

    /// The environment of a master without its address and directory.
    pub(crate) fn master_env(&self, work_dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
        let mut flags = owned([
            ("allocation_interval", "200ms"),
            ("agent_ping_timeout", "2secs"),
            ("max_agent_ping_timeouts", "3"),
        ]);
        if let Some(zk) = &self.zookeeper {
            flags.insert("zk".to_owned(), zk.clone());
            flags.insert("quorum".to_owned(), (self.masters / 2 + 1).to_string());
        }
        if !self.credentials.is_empty() {
            let pairs = self.credentials.iter();
            let list: Vec<Value> =
                pairs.map(|(who, secret)| serde_json::json!({"principal": who, "secret": secret})).collect();
            let path = work_dir.join("credentials");
            fs::write(&path, serde_json::json!({ "credentials": list }).to_string())?;
            flags.insert("credentials".to_owned(), path.display().to_string());
            flags.insert("authenticate_http_frameworks".to_owned(), "true".to_owned());
            flags.insert("http_framework_authenticators".to_owned(), "basic".to_owned());
        }
        if let Some(acls) = &self.acls {
            flags.insert("acls".to_owned(), acls.to_string());
        }
        flags.extend(self.master_flags.clone());
        Ok(environment(flags))
    }

    /// The environment of an agent without its address and directories.
    pub(crate) fn agent_env(&self, agent: &AgentSpec, cgroups_root: &str) -> BTreeMap<String, String> {
        let cgroups = self.isolation == Isolation::Cgroups && cgroups_writable(cgroups_root);
        let (isolation, launcher) =
            if cgroups { ("cgroups/cpu,cgroups/mem", "linux") } else { ("posix/cpu,posix/mem", "posix") };
        let mut flags = owned([
            ("recover", "reconnect"),
            ("registration_backoff_factor", "50ms"),
            ("systemd_enable_support", "false"),
            ("cgroups_enable_cfs", "true"),
            ("cgroups_root", cgroups_root),
            ("isolation", isolation),
            ("launcher", launcher),
            ("switch_user", if nix::unistd::geteuid().is_root() { "true" } else { "false" }),
        ]);
        flags.insert("resources".to_owned(), agent.resources(&self.role));
        flags.insert("attributes".to_owned(), agent.attributes());
        flags.extend(self.agent_flags.clone());
        environment(flags)
    }
}

impl AgentSpec {
    /// The usual agent under this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            milli_cpus: 2000,
            mem_mib: 2048,
            disk_mib: 10_240,
            ports: (31_000, 31_099),
            unreserved: String::new(),
            attributes: BTreeMap::new(),
        }
    }

    fn resources(&self, role: &str) -> String {
        let Self { milli_cpus, mem_mib, disk_mib, ports: (first, last), unreserved, .. } = self;
        let cpus = format!("{}.{:03}", milli_cpus / 1000, milli_cpus % 1000);
        let reserved = format!("cpus({role}):{cpus};mem({role}):{mem_mib};disk:{disk_mib};ports:[{first}-{last}]");
        if unreserved.is_empty() { reserved } else { format!("{reserved};{unreserved}") }
    }

    fn attributes(&self) -> String {
        let more = self.attributes.iter().map(|(name, value)| format!(";{name}:{value}"));
        format!("host:{}{}", self.name, more.collect::<String>())
    }
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn environment(flags: BTreeMap<String, String>) -> BTreeMap<String, String> {
    flags.into_iter().map(|(name, value)| (format!("MESOS_{}", name.to_uppercase()), value)).collect()
}

/// The Linux launcher ends the agent where it cannot make cgroups, so one is made to see.
fn cgroups_writable(root: &str) -> bool {
    ["freezer", "cpu", "cpuacct", "memory"].iter().all(|hierarchy| {
        let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(root);
        path.exists() || (fs::create_dir(&path).is_ok() && fs::remove_dir(&path).is_ok())
    })
}
