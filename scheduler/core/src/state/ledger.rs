//! What Mesos keeps for us, and the executors that run on it.

use epic_common::ids::AgentId;
use epic_common::resources::{Bytes, MilliCpus};
use imbl::OrdMap;

use crate::mesos::Executor;

/// What Mesos keeps for us on each agent, and the executors there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What each agent keeps for our role.
    pub hosts: OrdMap<AgentId, Host>,
    /// Executors by agent, as long as an attempt of theirs may live.
    pub executors: OrdMap<AgentId, Executor>,
    /// How many executors were ever decided; makes their names unique.
    pub executors_decided: u64,
}

/// What an agent keeps for our role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The agent's host name.
    pub hostname: String,
    /// Cores, as much as was ever seen at once.
    pub cpus: MilliCpus,
    /// Memory, as much as was ever seen at once.
    pub mem: Bytes,
}

/// What is used of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Cores of attempts and their executor.
    pub cpus: MilliCpus,
    /// Memory of attempts and their executor.
    pub mem: Bytes,
}
