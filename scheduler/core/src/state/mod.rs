//! What is agreed: the fold of the journal's entries.

mod apply;
pub mod deployment;
pub mod entry;
pub mod identity;
pub mod ledger;
mod restored;
pub mod unit;

use epic_common::ids::{AgentId, DeploymentId, Digest};
use epic_common::time::Timestamp;
use imbl::{OrdMap, Vector};

pub use apply::Touched;
use deployment::{Deployment, Run};
use entry::Index;
use identity::Identity;
pub use identity::Leader;
use ledger::Ledger;
pub use ledger::{Host, Used};
pub use unit::Unit;
use unit::Units;

use crate::mesos::TaskState;

/// Everything that survives the loss of a replica. Clones are cheap and share what is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last entry that was applied.
    pub index: Index,
    /// That entry's time; the next is never earlier.
    pub at: Timestamp,
    /// The highest number of a kind of entry in it; 0 as long as none is above 19.
    pub kinds: u32,
    /// Who we are.
    pub identity: Identity,
    /// What is wanted: the platform, and each cluster.
    pub deployments: OrdMap<DeploymentId, Deployment>,
    /// What runs of it.
    pub units: Units,
    /// Where it may run.
    pub ledger: Ledger,
    /// Documents by name.
    pub documents: OrdMap<String, Document>,
    /// Living tasks that Mesos has and we don't.
    pub strangers: OrdMap<String, Stranger>,
    /// Idempotency keys of the last requests, oldest first, with the index at which each was granted.
    pub keys: Vector<(String, Index)>,
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

impl State {
    /// Tells whether a request with this key was granted before, and where.
    #[must_use]
    pub fn granted(&self, key: &str) -> Option<Index> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, index)| *index)
    }

    /// Returns the epoch of the last claim, 0 if nobody ever claimed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.identity.epoch()
    }

    /// Returns the platform, if one was applied.
    #[must_use]
    pub fn platform(&self) -> Option<&Deployment> {
        self.deployments.get(&DeploymentId::PLATFORM)
    }

    /// Tells whether the platform is to run; it counts as running where there is none.
    #[must_use]
    pub fn run(&self) -> Run {
        self.platform().map_or_else(Run::default, |platform| platform.run)
    }

    /// Says since when what is wanted of the platform is as it is.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.platform().map_or(self.identity.idle_since, |platform| platform.since)
    }

    /// Makes every index from what it indexes.
    ///
    /// [`apply`](Self::apply) keeps them up to date; this is for a state that was read from a snapshot, which has none.
    pub fn rebuild_indices(&mut self) {
        self.units.rebuild_indices();
    }

    /// Returns what attempts and their executor use of an agent's reservation.
    #[must_use]
    pub fn used(&self, agent: &AgentId) -> Used {
        let executor = self.ledger.executors.get(agent);
        let mut used = executor.map(|executor| Used { cpus: executor.cpus, mem: executor.mem }).unwrap_or_default();
        let there = self.units.on_agent.get(agent).into_iter().flatten();
        for task in there.filter_map(|id| self.units.tasks.get(id)) {
            used.cpus += task.grant.cpus;
            used.mem += task.grant.mem;
        }
        used
    }

    /// Tells whether anything is left that an uninstall has to wait for.
    #[must_use]
    pub fn is_empty_of_tasks(&self) -> bool {
        self.units.tasks.is_empty() && self.strangers.is_empty()
    }
}
