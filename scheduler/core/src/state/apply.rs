//! How each entry changes the state. Deterministic and total: what can't be is ignored alike on every replica.

use std::collections::BTreeSet;

use epic_common::ids::{AgentId, DeploymentId, FrameworkId, TaskId};
use epic_common::time::Timestamp;

use super::deployment::{Deployment, Desired, Run};
use super::entry::{Entry, Fact, KINDS_OF_FORMAT_1, LaunchDecided, StatusRecorded, UnitLaunched};
use super::identity::{Identity, Leader};
use super::ledger::{Host, Ledger};
use super::unit::{Progress, Task, Unit, resources};
use super::{Document, State, Stranger};
use crate::mesos::{Meaning, TaskState};
use crate::policy::{KEYS_MAX, STRANGERS_MAX};

/// What an entry changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Attempts.
    pub tasks: BTreeSet<TaskId>,
    /// Whether the documents may have changed.
    pub members: bool,
}

impl State {
    /// Applies the next entry.
    pub fn apply(&mut self, entry: &Entry) -> Touched {
        self.index = self.index.next();
        self.at = self.at.max(entry.at);
        let mut touched = Touched::default();
        self.remember_key(entry.key());
        if entry.fact.number() > KINDS_OF_FORMAT_1 {
            self.kinds = self.kinds.max(entry.fact.number());
        }
        match &entry.fact {
            Fact::FrameworkChosen { framework, role } => {
                self.identity.framework = Some(framework.clone());
                self.identity.roles = vec![role.clone()];
                self.identity.frameworks_chosen += 1;
            }
            Fact::TokenSet { sha256 } => self.identity.token = Some(*sha256),
            Fact::PlatformApplied { desired, .. } => self.applied(entry.at, desired),
            Fact::PlatformStopped { .. } => self.run_as(entry.at, Run::Stopped),
            Fact::PlatformStarted { .. } => self.run_as(entry.at, Run::Running),
            Fact::UninstallBegun { .. } => self.run_as(entry.at, Run::Uninstalling),
            Fact::Uninstalled => self.uninstalled(entry.at),
            Fact::LaunchDecided(decided) => {
                if let Some(launched) = self.as_launched(decided) {
                    self.unit_launched(entry.at, &launched, &mut touched);
                }
            }
            Fact::UnitLaunched(launched) => self.unit_launched(entry.at, launched, &mut touched),
            Fact::InstallationChosen { id } => self.identity.installation = Some(id.clone()),
            Fact::KillDecided { task, why, .. } => self.kill_decided(task, why, &mut touched),
            Fact::ReplacementDecided { task } => self.given_up(entry.at, task, &mut touched),
            Fact::StatusRecorded(status) => self.status_recorded(entry.at, status, &mut touched),
            Fact::StrangerSeen { task, agent, state } => self.stranger_seen(task, agent, *state),
            Fact::ReservationSeen { agent, hostname, cpus, mem } => {
                self.ledger.hosts.insert(agent.clone(), Host { hostname: hostname.clone(), cpus: *cpus, mem: *mem });
            }
            Fact::DocumentChanged { name, generation, sha256 } => {
                self.documents.insert(name.clone(), Document { generation: *generation, sha256: *sha256 });
                touched.members = true;
            }
            Fact::LeaderClaimed { epoch, replica, advertise } if *epoch > self.epoch() => {
                let (epoch, replica, advertise) = (*epoch, replica.clone(), advertise.clone());
                self.identity.leader = Some(Leader { epoch, replica, advertise, since: entry.at });
            }
            Fact::FrameworkReplaced { framework, .. } => self.framework_replaced(entry.at, framework, &mut touched),
            Fact::MovedTo { url } => self.identity.moved_to = Some(url.clone()),
            // A barrier's place in the journal is all there is to it.
            Fact::LeaderClaimed { .. } | Fact::Barrier { .. } => {}
        }
        touched
    }

    fn remember_key(&mut self, key: Option<&str>) {
        if let Some(key) = key {
            self.keys.push_back((key.to_owned(), self.index));
            while self.keys.len() > KEYS_MAX {
                self.keys.pop_front();
            }
        }
    }

    fn applied(&mut self, at: Timestamp, desired: &Desired) {
        let Desired { name, bundle, roles, ceiling, root_allowed, .. } = desired.clone();
        let (run, wanted) = (self.run(), desired.wanted());
        let platform = Deployment { name, bundle, roles, wanted, ceiling, root_allowed, run, since: at };
        self.deployments.insert(DeploymentId::PLATFORM, platform);
        self.identity.idle_since = Timestamp::default();
        self.settle_wanted(at, DeploymentId::PLATFORM);
    }

    fn run_as(&mut self, at: Timestamp, run: Run) {
        if let Some(platform) = self.deployments.get_mut(&DeploymentId::PLATFORM) {
            (platform.run, platform.since) = (run, at);
            self.settle_wanted(at, DeploymentId::PLATFORM);
        }
    }

    /// Brings a deployment's units in line with what is wanted of it.
    fn settle_wanted(&mut self, at: Timestamp, deployment: DeploymentId) {
        let Some(wanted) = self.deployments.get(&deployment).cloned() else { return };
        let running = wanted.run == Run::Running;
        for id in wanted.units(deployment) {
            let mut unit = self.units.all.get(&id).cloned().unwrap_or_else(|| Unit::new(at));
            if running && !unit.wanted {
                // Whoever starts it again doesn't want to wait for old failures.
                (unit.failures, unit.not_before, unit.since) = (0, at, at);
            }
            unit.wanted = running;
            self.units.all.insert(id, unit);
        }
        let known: Vec<_> = self.units.all.keys().filter(|id| id.deployment == deployment).cloned().collect();
        for id in known {
            if !wanted.wanted.contains_key(&(id.role.clone(), id.ordinal)) {
                // A unit that had attempts keeps their count: a task id is never used twice.
                if self.units.all.get(&id).is_some_and(|unit| unit.attempt.0 == 0) {
                    self.units.all.remove(&id);
                } else if let Some(unit) = self.units.all.get_mut(&id) {
                    unit.wanted = false;
                }
            }
            self.units.settle(&id);
        }
    }

    fn uninstalled(&mut self, at: Timestamp) {
        let identity = Identity { framework: None, roles: Vec::new(), idle_since: at, ..self.identity.clone() };
        let ledger = Ledger { executors_decided: self.ledger.executors_decided, ..Ledger::default() };
        let (index, at, kinds, keys) = (self.index, self.at, self.kinds, self.keys.clone());
        *self = Self { index, at, kinds, identity, ledger, keys, ..Self::default() };
    }

    /// Mesos has ended every task of the old one; the ledger stays, since reservations belong to the role.
    fn framework_replaced(&mut self, at: Timestamp, framework: &FrameworkId, touched: &mut Touched) {
        self.identity.framework = Some(framework.clone());
        self.identity.frameworks_chosen += 1;
        touched.tasks = self.units.tasks.keys().cloned().collect();
        touched.members = true;
        (self.units.tasks, self.ledger.executors, self.strangers) = Default::default();
        let all: Vec<_> = self.units.all.keys().cloned().collect();
        for id in all {
            if let Some(unit) = self.units.all.get_mut(&id)
                && let Some(task) = unit.live.take()
            {
                (unit.since, unit.failures, unit.not_before) = (at, 0, at);
                unit.last_end = format!("attempt {} ended as Mesos removed the framework", task.attempt);
            }
        }
        self.units.rebuild_indices();
    }

    /// Completes an entry that names no bundle: it meant the one that was wanted at its time.
    fn as_launched(&self, decided: &LaunchDecided) -> Option<UnitLaunched> {
        let unit = &decided.task.unit;
        let program = self.deployments.get(&unit.deployment)?.program(&unit.role, unit.ordinal);
        let LaunchDecided { task, agent, hostname, offer, stream, grant, executor, .. } = decided.clone();
        let resources = resources(&grant, decided.disk_reserved, &decided.ports_reserved);
        let offers = vec![offer];
        Some(UnitLaunched { task, agent, hostname, offers, stream, program, grant, resources, executor })
    }

    fn unit_launched(&mut self, at: Timestamp, decided: &UnitLaunched, touched: &mut Touched) {
        let id = &decided.task;
        let Some(unit) = self.units.all.get_mut(&id.unit) else { return };
        unit.attempt = unit.attempt.max(id.attempt);
        unit.live = Some(id.clone());
        if self.ledger.executors.get(&decided.agent).is_none_or(|known| known.id != decided.executor.id) {
            self.ledger.executors_decided += 1;
            self.ledger.executors.insert(decided.agent.clone(), decided.executor.clone());
        }
        self.units.tasks.insert(id.clone(), Task::launching(at, decided));
        self.units.launching.insert(id.clone());
        self.units.on_agent.entry(decided.agent.clone()).or_default().insert(id.clone());
        self.units.on_host.entry(decided.hostname.clone()).or_default().insert(id.clone());
        self.units.settle(&id.unit);
        touched.tasks.insert(id.clone());
        touched.members = true;
    }

    fn kill_decided(&mut self, id: &TaskId, why: &str, touched: &mut Touched) {
        if let Some(task) = self.units.tasks.get_mut(id) {
            if task.kill.is_none() {
                task.kill = Some(why.to_owned());
            }
            self.units.killing.insert(id.clone());
            touched.tasks.insert(id.clone());
            self.units.settle(&id.unit);
        }
    }

    fn given_up(&mut self, at: Timestamp, id: &TaskId, touched: &mut Touched) {
        let Some(task) = self.units.tasks.get_mut(id) else { return };
        task.given_up = true;
        let task = task.clone();
        self.units.reached(&task);
        if let Some(unit) = self.units.all.get_mut(&id.unit)
            && unit.live.as_ref() == Some(id)
        {
            unit.live = None;
            unit.since = at;
            "its agent could not be reached".clone_into(&mut unit.last_end);
        }
        self.units.settle(&id.unit);
        self.kill_decided(id, "it was replaced while its agent could not be reached", touched);
        touched.members = true;
    }

    fn status_recorded(&mut self, at: Timestamp, status: &StatusRecorded, touched: &mut Touched) {
        let id = &status.task;
        let Some(task) = self.units.tasks.get(id).cloned() else { return };
        touched.tasks.insert(id.clone());
        self.units.launching.remove(id);
        self.units.reached(&task);
        match task.recorded(at, status) {
            Some(task) => {
                match task.progress {
                    Progress::Unreachable(since) if !task.given_up => {
                        self.units.unreachable.insert((since, id.clone()));
                    }
                    Progress::Unreachable(_) | Progress::Launching { .. } | Progress::Alive(_) => {}
                }
                if task.is_ready() {
                    self.ready(id);
                }
                self.units.tasks.insert(id.clone(), task);
            }
            None => {
                self.ended(at, status);
                touched.members = true;
            }
        }
    }

    fn ready(&mut self, id: &TaskId) {
        if let Some(unit) = self.units.all.get_mut(&id.unit)
            && unit.live.as_ref() == Some(id)
            && unit.failures != 0
        {
            unit.failures = 0;
        }
    }

    fn ended(&mut self, at: Timestamp, status: &StatusRecorded) {
        let id = &status.task;
        let Some(task) = self.units.tasks.remove(id) else { return };
        self.units.killing.remove(id);
        self.leave_agent(&task);
        if let Some(unit) = self.units.all.get_mut(&id.unit)
            && unit.live.as_ref() == Some(id)
        {
            unit.live = None;
            unit.since = at;
            unit.last_end = end_for_people(&task, status);
            if let Some(ended) = status.ended {
                unit.failures = ended.failures;
                unit.not_before = ended.not_before;
            }
        }
        self.units.settle(&id.unit);
    }

    fn leave_agent(&mut self, task: &Task) {
        if let Some(tasks) = self.units.on_host.get_mut(&task.hostname) {
            tasks.remove(&task.id);
            if tasks.is_empty() {
                self.units.on_host.remove(&task.hostname);
            }
        }
        let Some(tasks) = self.units.on_agent.get_mut(&task.agent) else { return };
        tasks.remove(&task.id);
        if tasks.is_empty() {
            // The executor ends with its last attempt; the next one gets another name.
            self.units.on_agent.remove(&task.agent);
            self.ledger.executors.remove(&task.agent);
        }
    }

    fn stranger_seen(&mut self, task: &str, agent: &AgentId, state: TaskState) {
        if state.meaning() == Meaning::Ended {
            self.strangers.remove(task);
        } else if self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(task) {
            self.strangers.insert(task.to_owned(), Stranger { agent: agent.clone(), state });
        }
    }
}

fn end_for_people(task: &Task, status: &StatusRecorded) -> String {
    let said = [&status.message, &status.reason].into_iter().find(|text| !text.is_empty());
    let why = match (&task.kill, said) {
        (Some(why), _) => why.clone(),
        (None, Some(said)) => said.clone(),
        (None, None) => status.state.to_string(),
    };
    format!("attempt {} ended on {}: {why}", task.id.attempt, task.hostname)
}
