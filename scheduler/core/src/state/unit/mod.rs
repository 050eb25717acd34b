//! Units and their attempts, with the indices over both.

mod task;
mod waits;

use epic_common::ids::{AgentId, Attempt, TaskId, UnitId};
use epic_common::time::Timestamp;
use imbl::{OrdMap, OrdSet};

pub use task::{Program, Progress, Task, resources};
pub use waits::Waits;

/// Units, their attempts, and the indices over both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Those wanted, those of which an attempt may live, and the platform's that ever had one.
    pub all: OrdMap<UnitId, Unit>,
    /// Attempts that aren't known to have ended.
    pub tasks: OrdMap<TaskId, Task>,
    /// Units that are wanted and have no attempt that counts.
    pub unplaced: OrdSet<UnitId>,
    /// The same, by when each may be placed.
    pub waits: Waits,
    /// Units that aren't wanted and have an attempt that nobody has told to end.
    pub surplus: OrdSet<UnitId>,
    /// Attempts whose launch has not been answered.
    pub launching: OrdSet<TaskId>,
    /// Attempts that are to end.
    pub killing: OrdSet<TaskId>,
    /// Attempts whose agent can't be reached and that aren't given up, by since when.
    pub unreachable: OrdSet<(Timestamp, TaskId)>,
    /// Attempts by agent.
    pub on_agent: OrdMap<AgentId, OrdSet<TaskId>>,
    /// Attempts by host name: an agent that loses its own records comes back under another id, on the same host.
    pub on_host: OrdMap<String, OrdSet<TaskId>>,
}

/// What is placed: one of a role's units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
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

impl Unit {
    /// Makes one that is wanted and had no attempt yet.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self {
            wanted: true,
            attempt: Attempt(0),
            live: None,
            failures: 0,
            not_before: at,
            since: at,
            last_end: String::new(),
        }
    }
}

impl Units {
    /// Keeps the indices of units that want a place, and of those that run and shouldn't.
    pub(super) fn settle(&mut self, id: &UnitId) {
        let Some(unit) = self.all.get(id) else {
            self.surplus.remove(id);
            self.unplaced.remove(id);
            self.waits.remove(id);
            return;
        };
        let live = unit.live.as_ref().and_then(|task| self.tasks.get(task));
        if !unit.wanted && live.is_some_and(|task| task.kill.is_none()) {
            self.surplus.insert(id.clone());
        } else {
            self.surplus.remove(id);
        }
        if unit.wanted && unit.live.is_none() {
            self.unplaced.insert(id.clone());
            self.waits.insert(id, unit.not_before);
        } else {
            self.unplaced.remove(id);
            self.waits.remove(id);
        }
    }

    /// Says how often a unit has failed in a row.
    #[must_use]
    pub fn failures(&self, id: &UnitId) -> u32 {
        self.all.get(id).map_or(0, |unit| unit.failures)
    }

    /// Forgets since when an attempt's agent can't be reached.
    pub(super) fn reached(&mut self, task: &Task) {
        if let Progress::Unreachable(since) = task.progress {
            self.unreachable.remove(&(since, task.id.clone()));
        }
    }

    /// Makes every index from what it indexes.
    pub(super) fn rebuild_indices(&mut self) {
        (self.unplaced, self.waits, self.surplus) = Default::default();
        (self.launching, self.killing, self.unreachable) = Default::default();
        (self.on_agent, self.on_host) = Default::default();
        let all: Vec<_> = self.all.keys().cloned().collect();
        for id in all {
            self.settle(&id);
        }
        for (id, task) in &self.tasks {
            match task.progress {
                Progress::Launching { .. } => drop(self.launching.insert(id.clone())),
                Progress::Unreachable(since) if !task.given_up => drop(self.unreachable.insert((since, id.clone()))),
                Progress::Unreachable(_) | Progress::Alive(_) => {}
            }
            if task.kill.is_some() {
                self.killing.insert(id.clone());
            }
            self.on_agent.entry(task.agent.clone()).or_default().insert(id.clone());
            self.on_host.entry(task.hostname.clone()).or_default().insert(id.clone());
        }
    }
}
