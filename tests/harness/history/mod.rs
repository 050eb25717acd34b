//! A checker of what really happened: the journal from its first batch on, what was acknowledged, what Mesos and services show.

mod follow;
mod mesos;
mod pages;
#[cfg(test)]
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::ids::TaskId;
use epic_scheduler_core::invariants;
use epic_scheduler_core::mesos::{Meaning, TaskState};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::Run;
use epic_scheduler_core::state::entry::{Entry, Fact, Index};
use epic_scheduler_core::state::unit::Progress;

pub use follow::Follower;
pub use mesos::{doubles, same_world};
pub use pages::Pages;

/// One batch as it stands in the journal.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its number, from 1.
    pub batch: u64,
    /// Its writer's epoch.
    pub epoch: u64,
    /// The position of its first entry.
    pub first: Index,
    /// What it says; a batch may be empty.
    pub entries: Vec<Entry>,
}

/// All batches up to one, folded and checked.
///
/// It takes for granted that agents and services are left alone: whatever runs ends only because somebody asked.
#[derive(Debug, Default)]
pub struct History {
    state: State,
    batch: u64,
    /// What was wanted after each entry, the first at 0.
    wanted: Vec<Wanted>,
    /// Every attempt that was ever decided.
    decided: BTreeSet<TaskId>,
    /// Attempts of which Mesos said that they run.
    ran: BTreeSet<TaskId>,
    /// What each request with a key came to.
    granted: BTreeMap<String, Index>,
    /// The attempts that requests ended, by the entry that says so.
    restarted: BTreeMap<Index, TaskId>,
}

/// What is wanted of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether members are to run.
    pub run: Run,
    /// How many members there are to be.
    pub members: u32,
}

/// What somebody was told is granted and durable.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// What was asked for.
    pub change: Change,
    /// The entry at which it is true.
    pub index: Index,
    /// The request's idempotency key, if the asker knows it.
    pub key: Option<String>,
}

/// What people ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many members.
    Apply(u32),
    /// No member is to run.
    Stop,
    /// All are to run.
    Start,
    /// This member is to end and to run again.
    Restart(String),
}

impl History {
    /// The sum of what was read.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The number of the last batch that was read.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// How many attempts were decided.
    #[must_use]
    pub fn launches(&self) -> usize {
        self.decided.len()
    }

    /// Reads the next batch.
    ///
    /// # Errors
    /// What in it can't be in a journal that is as it should be.
    pub fn read(&mut self, written: &Written) -> Result<()> {
        let Written { batch, epoch, first, entries } = written;
        ensure!(*batch == self.batch + 1, "batch {batch} follows batch {}", self.batch);
        self.batch = *batch;
        if !entries.is_empty() {
            let next = self.state.index.next();
            ensure!(*first == next, "batch {batch} begins with entry {}, not with {}", first.0, next.0);
        }
        for entry in entries {
            let at = format!("entry {} in batch {batch}", self.state.index.next().0);
            self.entry(entry).with_context(|| at)?;
        }
        ensure!(*epoch == self.state.epoch(), "batch {batch} of epoch {epoch} in epoch {}", self.state.epoch());
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        ensure!(entry.at >= self.state.at, "it was decided at {}, before the entry before it", entry.at);
        if let Some(key) = entry.fact.key()
            && let Some(before) = self.granted.insert(key.to_owned(), self.state.index.next())
        {
            bail!("the request {key} was granted at entry {} already", before.0);
        }
        self.fact(&entry.fact)?;
        self.state.apply(entry);
        if let Some(contradiction) = invariants::contradiction(&self.state) {
            bail!("afterwards, {contradiction}");
        }
        self.wanted.push(self.wanted_now());
        Ok(())
    }

    fn fact(&mut self, fact: &Fact) -> Result<()> {
        let epoch = self.state.epoch();
        match fact {
            Fact::LeaderClaimed { epoch: claimed, .. } => {
                ensure!(*claimed == epoch + 1, "epoch {claimed} is claimed after {epoch}");
            }
            Fact::Barrier { epoch: shown } => ensure!(*shown == epoch, "a barrier of epoch {shown} in epoch {epoch}"),
            Fact::FrameworkChosen { framework, .. } => {
                ensure!(self.state.identity.framework.is_none(), "another framework is chosen: {framework}");
            }
            Fact::LaunchDecided(launch) => self.launch(&launch.task)?,
            Fact::UnitLaunched(launch) => self.launch(&launch.task)?,
            Fact::KillDecided { task, key, .. } => self.kill(task, key.is_some())?,
            Fact::StatusRecorded(status) => self.status(&status.task, status.state)?,
            Fact::ReplacementDecided { task } => bail!("{task} is given up, though no agent was lost"),
            Fact::StrangerSeen { task, state, .. } => {
                ensure!(state.meaning() == Meaning::Ended, "Mesos has {task} ({state}), which isn't to be there");
            }
            Fact::Uninstalled | Fact::UninstallBegun { .. } => bail!("nobody asked for an uninstall"),
            Fact::FrameworkReplaced { .. } => bail!("nobody asked for another framework"),
            Fact::MovedTo { url } => bail!("nobody moved the journal to {url}"),
            Fact::TokenSet { .. }
            | Fact::PlatformApplied { .. }
            | Fact::PlatformStopped { .. }
            | Fact::PlatformStarted { .. }
            | Fact::ReservationSeen { .. }
            | Fact::InstallationChosen { .. }
            | Fact::DocumentChanged { .. } => {}
        }
        Ok(())
    }

    fn launch(&mut self, task: &TaskId) -> Result<()> {
        ensure!(self.decided.insert(task.clone()), "{task} is decided a second time");
        let wanted = self.state.units.all.get(&task.unit).is_some_and(|instance| instance.wanted);
        ensure!(wanted, "{task} is decided, though nobody wants it");
        let other = self.state.units.tasks.keys().find(|other| other.unit == task.unit);
        ensure!(
            other.is_none(),
            "{task} is decided while {} may live",
            other.map(TaskId::to_string).unwrap_or_default()
        );
        Ok(())
    }

    fn kill(&mut self, task: &TaskId, was_asked_for: bool) -> Result<()> {
        if was_asked_for {
            self.restarted.insert(self.state.index.next(), task.clone());
            return Ok(());
        }
        let wanted = self.state.units.all.get(&task.unit).is_some_and(|instance| instance.wanted);
        ensure!(!wanted, "{task} is to end, though it is wanted and nobody asked");
        Ok(())
    }

    fn status(&mut self, id: &TaskId, said: TaskState) -> Result<()> {
        ensure!(self.decided.contains(id), "a status of {id}, which nobody decided");
        match said.meaning() {
            Meaning::Alive if said == TaskState::Running => drop(self.ran.insert(id.clone())),
            Meaning::Alive | Meaning::Unclear => {}
            Meaning::Ended => {
                let was_asked_for = self.state.units.tasks.get(id).is_none_or(|task| task.kill.is_some());
                ensure!(
                    was_asked_for || !self.ran.contains(id),
                    "{id} ran and has ended ({said}), though nobody asked"
                );
            }
        }
        Ok(())
    }

    fn wanted_now(&self) -> Wanted {
        let members =
            self.state.platform().map_or(0, |desired| u32::try_from(desired.wanted.len()).unwrap_or(u32::MAX));
        Wanted { run: self.state.run(), members }
    }

    /// Checks that what somebody was told is in the journal, where it was said to be.
    ///
    /// # Errors
    /// It isn't.
    pub fn holds(&self, told: &Acknowledged) -> Result<()> {
        let Acknowledged { change, index, key } = told;
        let place = usize::try_from(index.0).ok().and_then(|index| index.checked_sub(1));
        let wanted = place.and_then(|place| self.wanted.get(place));
        let last = self.state.index.0;
        let wanted = wanted.with_context(|| format!("{told:?} is lost: the journal ends with entry {last}"))?;
        let is_so = match change {
            Change::Apply(members) => wanted.members == *members,
            Change::Stop => wanted.run == Run::Stopped,
            Change::Start => wanted.run == Run::Running,
            Change::Restart(member) => self.restarted.get(index).is_some_and(|task| task.unit.to_string() == *member),
        };
        ensure!(is_so, "{told:?} isn't what entry {} says, where {wanted:?}", index.0);
        let granted = key.as_ref().and_then(|key| self.granted.get(key));
        ensure!(granted.is_none_or(|granted| granted == index), "{told:?} was granted at {granted:?}");
        Ok(())
    }

    /// Lists the attempts that run, as far as the journal knows, in order.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let is_running = |progress: &Progress| matches!(progress, Progress::Alive(TaskState::Running));
        let tasks = self.state.units.tasks.iter().filter(|(_, task)| is_running(&task.progress));
        tasks.map(|(id, _)| id.to_string()).collect()
    }
}
