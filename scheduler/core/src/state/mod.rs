//! What is agreed: the fold of the journal's entries.

mod apply;
pub mod entry;
mod indices;
pub mod platform;
mod restored;
pub mod task;

use epic_common::ids::{AgentId, Attempt, Digest, FrameworkId, InstanceId, RoleId, TaskId};
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::time::Timestamp;
use imbl::{OrdMap, OrdSet, Vector};

pub use apply::Touched;
use entry::Index;
use platform::{Desired, Run};
use task::Task;

use crate::mesos::{Executor, TaskState};

/// Everything that survives the loss of a replica. Clones are cheap and share what is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last entry that was applied.
    pub index: Index,
    /// That entry's time; the next is never earlier.
    pub at: Timestamp,
    /// Who we are to Mesos.
    pub framework: Option<FrameworkId>,
    /// The role whose reservations that framework uses.
    pub role: Option<String>,
    /// The digest of the token that allows changes.
    pub token: Option<Digest>,
    /// What is wanted.
    pub desired: Option<Desired>,
    /// Whether it is to run.
    pub run: Run,
    /// Since when what is wanted is as it is.
    pub since: Timestamp,
    /// Members by name: those wanted, and those of which an attempt may live.
    pub instances: OrdMap<InstanceId, Instance>,
    /// Attempts that aren't known to have ended.
    pub tasks: OrdMap<TaskId, Task>,
    /// Members that are wanted and have no attempt that counts.
    pub unplaced: OrdSet<InstanceId>,
    /// Members that aren't wanted and have an attempt that nobody has told to end.
    pub surplus: OrdSet<InstanceId>,
    /// Attempts whose launch has not been answered.
    pub launching: OrdSet<TaskId>,
    /// Attempts that are to end.
    pub killing: OrdSet<TaskId>,
    /// Attempts whose agent can't be reached and that aren't given up.
    pub unreachable: OrdSet<TaskId>,
    /// Tasks by agent.
    pub on_agent: OrdMap<AgentId, OrdSet<TaskId>>,
    /// What each agent keeps for us: the ledger.
    pub hosts: OrdMap<AgentId, Host>,
    /// Executors by agent, as long as an attempt of theirs may live.
    pub executors: OrdMap<AgentId, Executor>,
    /// How many executors were ever decided; makes their names unique.
    pub executors_decided: u64,
    /// How many framework ids were ever chosen.
    pub frameworks_chosen: u64,
    /// Documents by name.
    pub documents: OrdMap<String, Document>,
    /// Living tasks that Mesos has and we don't.
    pub strangers: OrdMap<String, Stranger>,
    /// Idempotency keys of the last requests, oldest first, with the index at which each was granted.
    pub keys: Vector<(String, Index)>,
    /// The replica that claimed the lead last; `None` in a journal that has only one writer.
    pub leader: Option<Leader>,
    /// The journal that goes on from this one, without credentials; `None` unless this one has ended.
    pub moved_to: Option<String>,
}

/// A replica that leads, or did until another one claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// How many have led before it, and itself.
    pub epoch: u64,
    /// A UUID of its process.
    pub replica: String,
    /// The URL at which it is reached.
    pub advertise: String,
    /// When it claimed.
    pub since: Timestamp,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its role.
    pub role: RoleId,
    /// Its number within the role.
    pub ordinal: u32,
    /// Whether it is wanted.
    pub wanted: bool,
    /// The last attempt that was decided, 0 for none.
    pub attempt: Attempt,
    /// The attempt that counts.
    pub live: Option<TaskId>,
    /// Failures in a row.
    pub failures: u32,
    /// No attempt is started before.
    pub not_before: Timestamp,
    /// Since when it is as it is without an attempt.
    pub since: Timestamp,
    /// How the last attempt ended, for people.
    pub last_end: String,
}

/// A line of the ledger: what an agent keeps for our role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The agent's host name.
    pub hostname: String,
    /// Cores, as much as was ever seen at once.
    pub cpus: MilliCpus,
    /// Memory, as much as was ever seen at once.
    pub mem: Bytes,
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its newest generation.
    pub generation: u64,
    /// The digest of its newest text.
    pub sha256: Digest,
}

/// A living task that we don't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Where it is.
    pub agent: AgentId,
    /// Its state.
    pub state: TaskState,
}

/// What is used of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Cores of attempts and their executor.
    pub cpus: MilliCpus,
    /// Memory of attempts and their executor.
    pub mem: Bytes,
}

impl State {
    /// Tells whether a request with this key was granted before, and where.
    #[must_use]
    pub fn granted(&self, key: &str) -> Option<Index> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, index)| *index)
    }

    /// Returns the epoch of the last claim, 0 if nobody ever claimed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.leader.as_ref().map_or(0, |leader| leader.epoch)
    }

    /// Returns what attempts and their executor use of an agent's reservation.
    #[must_use]
    pub fn used(&self, agent: &AgentId) -> Used {
        let executor = self.executors.get(agent).map(|executor| Used { cpus: executor.cpus, mem: executor.mem });
        let mut used = executor.unwrap_or_default();
        for task in self.on_agent.get(agent).into_iter().flatten().filter_map(|id| self.tasks.get(id)) {
            used.cpus += task.grant.cpus;
            used.mem += task.grant.mem;
        }
        used
    }

    /// Tells whether anything is left that an uninstall has to wait for.
    #[must_use]
    pub fn is_empty_of_tasks(&self) -> bool {
        self.tasks.is_empty() && self.strangers.is_empty()
    }
}
