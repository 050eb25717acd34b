//! How each entry changes the state. Deterministic and total: what can't be is ignored alike on every replica.

use std::collections::BTreeSet;

use epic_common::ids::{AgentId, FrameworkId, InstanceId, TaskId};
use epic_common::time::Timestamp;

use super::entry::{Entry, Fact, LaunchDecided, StatusRecorded};
use super::platform::{Desired, Run};
use super::task::{Progress, Task};
use super::{Document, Host, Instance, Leader, State, Stranger};
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
        self.remember_key(&entry.fact);
        match &entry.fact {
            Fact::FrameworkChosen { framework, role } => {
                self.framework = Some(framework.clone());
                self.role = Some(role.clone());
                self.frameworks_chosen += 1;
            }
            Fact::TokenSet { sha256 } => self.token = Some(*sha256),
            Fact::PlatformApplied { desired, .. } => self.applied(entry.at, desired),
            Fact::PlatformStopped { .. } => self.run_as(entry.at, Run::Stopped),
            Fact::PlatformStarted { .. } => self.run_as(entry.at, Run::Running),
            Fact::UninstallBegun { .. } => self.run_as(entry.at, Run::Uninstalling),
            Fact::Uninstalled => self.uninstalled(entry.at),
            Fact::LaunchDecided(decided) => self.launch_decided(entry.at, decided, &mut touched),
            Fact::KillDecided { task, why, .. } => self.kill_decided(task, why, &mut touched),
            Fact::ReplacementDecided { task } => self.given_up(entry.at, task, &mut touched),
            Fact::StatusRecorded(status) => self.status_recorded(entry.at, status, &mut touched),
            Fact::StrangerSeen { task, agent, state } => self.stranger_seen(task, agent, *state),
            Fact::ReservationSeen { agent, hostname, cpus, mem } => {
                self.hosts.insert(agent.clone(), Host { hostname: hostname.clone(), cpus: *cpus, mem: *mem });
            }
            Fact::DocumentChanged { name, generation, sha256 } => {
                self.documents.insert(name.clone(), Document { generation: *generation, sha256: *sha256 });
                touched.members = true;
            }
            Fact::LeaderClaimed { epoch, replica, advertise } if *epoch > self.epoch() => {
                let (epoch, replica, advertise) = (*epoch, replica.clone(), advertise.clone());
                self.leader = Some(Leader { epoch, replica, advertise, since: entry.at });
            }
            Fact::FrameworkReplaced { framework, .. } => self.framework_replaced(entry.at, framework, &mut touched),
            Fact::MovedTo { url } => self.moved_to = Some(url.clone()),
            // A barrier's place in the journal is all there is to it.
            Fact::LeaderClaimed { .. } | Fact::Barrier { .. } => {}
        }
        touched
    }

    fn remember_key(&mut self, fact: &Fact) {
        if let Some(key) = fact.key() {
            self.keys.push_back((key.to_owned(), self.index));
            while self.keys.len() > KEYS_MAX {
                self.keys.pop_front();
            }
        }
    }

    fn applied(&mut self, at: Timestamp, desired: &Desired) {
        self.desired = Some(desired.clone());
        self.since = at;
        self.settle_wanted(at);
    }

    fn run_as(&mut self, at: Timestamp, run: Run) {
        if self.desired.is_some() {
            self.run = run;
            self.since = at;
            self.settle_wanted(at);
        }
    }

    /// Brings `instances` and `unplaced` in line with what is wanted.
    fn settle_wanted(&mut self, at: Timestamp) {
        let running = self.run == Run::Running;
        let wanted: Vec<_> = self.desired.iter().flat_map(Desired::wanted).collect();
        let names: BTreeSet<_> = wanted.iter().map(|(id, ..)| id.clone()).collect();
        for (id, role, ordinal) in wanted {
            let mut instance = self.instances.get(&id).cloned().unwrap_or_else(|| Instance::new(at, role, ordinal));
            if running && !instance.wanted {
                // Whoever starts it anew doesn't want to wait for old failures.
                (instance.failures, instance.not_before, instance.since) = (0, at, at);
            }
            instance.wanted = running;
            self.instances.insert(id, instance);
        }
        let others: Vec<_> = self.instances.keys().filter(|id| !names.contains(*id)).cloned().collect();
        for id in others {
            // A member that had attempts keeps their count: a task id is never used twice.
            if self.instances.get(&id).is_some_and(|instance| instance.attempt.0 == 0) {
                self.instances.remove(&id);
                self.unplaced.remove(&id);
            } else if let Some(instance) = self.instances.get_mut(&id) {
                instance.wanted = false;
            }
        }
        let all: Vec<_> = self.instances.keys().cloned().collect();
        for id in all {
            self.settle(&id);
        }
    }

    /// Keeps the indices of members that want placement, and of those that run and shouldn't.
    fn settle(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let live = instance.live.as_ref().and_then(|task| self.tasks.get(task));
        if !instance.wanted && live.is_some_and(|task| task.kill.is_none()) {
            self.surplus.insert(id.clone());
        } else {
            self.surplus.remove(id);
        }
        if instance.wanted && instance.live.is_none() {
            self.unplaced.insert(id.clone());
        } else {
            self.unplaced.remove(id);
        }
    }

    fn uninstalled(&mut self, at: Timestamp) {
        *self = Self {
            index: self.index,
            at: self.at,
            since: at,
            token: self.token,
            keys: self.keys.clone(),
            leader: self.leader.clone(),
            executors_decided: self.executors_decided,
            frameworks_chosen: self.frameworks_chosen,
            moved_to: self.moved_to.clone(),
            ..Self::default()
        };
    }

    /// Mesos has ended every task of the old one; the ledger stays, since reservations belong to the role.
    fn framework_replaced(&mut self, at: Timestamp, framework: &FrameworkId, touched: &mut Touched) {
        self.framework = Some(framework.clone());
        self.frameworks_chosen += 1;
        touched.tasks = self.tasks.keys().cloned().collect();
        touched.members = true;
        (self.tasks, self.on_agent, self.executors, self.strangers) = Default::default();
        (self.launching, self.killing, self.unreachable) = Default::default();
        let all: Vec<_> = self.instances.keys().cloned().collect();
        for id in all {
            if let Some(instance) = self.instances.get_mut(&id)
                && let Some(task) = instance.live.take()
            {
                (instance.since, instance.failures, instance.not_before) = (at, 0, at);
                instance.last_end = format!("attempt {} ended as Mesos removed the framework", task.attempt);
            }
            self.settle(&id);
        }
    }

    fn launch_decided(&mut self, at: Timestamp, decided: &LaunchDecided, touched: &mut Touched) {
        let id = &decided.task;
        let Some(instance) = self.instances.get_mut(&id.instance) else { return };
        instance.attempt = instance.attempt.max(id.attempt);
        instance.live = Some(id.clone());
        if self.executors.get(&decided.agent).is_none_or(|known| known.id != decided.executor.id) {
            self.executors_decided += 1;
            self.executors.insert(decided.agent.clone(), decided.executor.clone());
        }
        self.tasks.insert(id.clone(), Task::launching(at, decided));
        self.launching.insert(id.clone());
        self.on_agent.entry(decided.agent.clone()).or_default().insert(id.clone());
        self.settle(&id.instance);
        touched.tasks.insert(id.clone());
        touched.members = true;
    }

    fn kill_decided(&mut self, id: &TaskId, why: &str, touched: &mut Touched) {
        if let Some(task) = self.tasks.get_mut(id) {
            if task.kill.is_none() {
                task.kill = Some(why.to_owned());
            }
            self.killing.insert(id.clone());
            touched.tasks.insert(id.clone());
            self.settle(&id.instance);
        }
    }

    fn given_up(&mut self, at: Timestamp, id: &TaskId, touched: &mut Touched) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.given_up = true;
        self.unreachable.remove(id);
        if let Some(instance) = self.instances.get_mut(&id.instance)
            && instance.live.as_ref() == Some(id)
        {
            instance.live = None;
            instance.since = at;
            "its agent could not be reached".clone_into(&mut instance.last_end);
        }
        self.settle(&id.instance);
        self.kill_decided(id, "it was replaced while its agent could not be reached", touched);
        touched.members = true;
    }

    fn status_recorded(&mut self, at: Timestamp, status: &StatusRecorded, touched: &mut Touched) {
        let id = &status.task;
        let Some(task) = self.tasks.get(id).cloned() else { return };
        touched.tasks.insert(id.clone());
        self.launching.remove(id);
        match task.recorded(at, status) {
            Some(task) => {
                match task.progress {
                    Progress::Unreachable(_) if !task.given_up => self.unreachable.insert(id.clone()),
                    Progress::Unreachable(_) | Progress::Launching { .. } | Progress::Alive(_) => {
                        self.unreachable.remove(id)
                    }
                };
                if task.is_ready() {
                    self.ready(id);
                }
                self.tasks.insert(id.clone(), task);
            }
            None => {
                self.ended(at, status);
                touched.members = true;
            }
        }
    }

    fn ready(&mut self, id: &TaskId) {
        if let Some(instance) = self.instances.get_mut(&id.instance)
            && instance.live.as_ref() == Some(id)
            && instance.failures != 0
        {
            instance.failures = 0;
        }
    }

    fn ended(&mut self, at: Timestamp, status: &StatusRecorded) {
        let id = &status.task;
        let Some(task) = self.tasks.remove(id) else { return };
        self.killing.remove(id);
        self.unreachable.remove(id);
        self.leave_agent(&task.agent, id);
        if let Some(instance) = self.instances.get_mut(&id.instance)
            && instance.live.as_ref() == Some(id)
        {
            instance.live = None;
            instance.since = at;
            instance.last_end = end_for_people(&task, status);
            if let Some(ended) = status.ended {
                instance.failures = ended.failures;
                instance.not_before = ended.not_before;
            }
        }
        self.settle(&id.instance);
    }

    fn leave_agent(&mut self, agent: &AgentId, id: &TaskId) {
        let Some(tasks) = self.on_agent.get_mut(agent) else { return };
        tasks.remove(id);
        if tasks.is_empty() {
            // The executor ends with its last attempt; the next one gets another name.
            self.on_agent.remove(agent);
            self.executors.remove(agent);
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

impl Instance {
    const fn new(at: Timestamp, role: epic_common::ids::RoleId, ordinal: u32) -> Self {
        Self {
            role,
            ordinal,
            wanted: true,
            attempt: epic_common::ids::Attempt(0),
            live: None,
            failures: 0,
            not_before: at,
            since: at,
            last_end: String::new(),
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
