//! The fake master's tasks: what is launched, what is told of it, and what nobody has acknowledged yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use epic_proto::mesos::v1::scheduler::{call, event};
use epic_proto::mesos::v1::task_status::{Reason, Source};
use epic_proto::mesos::v1::{self, TaskState};

use super::faults::hits;
use super::state::State;

#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: BTreeMap<String, Task>,
    /// Updates that are to be acknowledged, by their task.
    open: BTreeMap<String, Open>,
    /// When to send an update again, in that order: a task, and its update's number.
    due: VecDeque<(Instant, String, u64)>,
    launched: u64,
}

#[derive(Debug)]
struct Task {
    agent_id: String,
    /// Which of the master's agents; `None` if another master had it.
    agent: Option<u32>,
    is_up: bool,
}

#[derive(Clone, Debug)]
struct Open {
    number: u64,
    agent_id: String,
    state: TaskState,
}

impl State {
    pub(super) fn know(&mut self, tasks: impl IntoIterator<Item = (String, String)>) {
        let tasks = tasks.into_iter().map(|(task, agent_id)| (task, Task { agent_id, agent: None, is_up: false }));
        self.tasks.running.extend(tasks);
        self.restless = self.tasks.running.keys().next().cloned();
    }

    pub(super) fn accept(&mut self, accept: call::Accept) {
        let mut used = None;
        for offer in &accept.offer_ids {
            used = used.or(self.refuse(&offer.value, accept.filters));
        }
        let launches = accept.operations.into_iter().filter_map(|operation| operation.launch);
        for task in launches.flat_map(|launch| launch.task_infos) {
            match used {
                Some(agent) => self.launch(agent, task),
                None => self.drop_task(task),
            }
        }
        let now = Instant::now();
        self.seen.accepted = Some(now);
        self.seen.acted.get_or_insert(now);
    }

    fn launch(&mut self, agent: u32, task: v1::TaskInfo) {
        let (name, agent_id) = (task.task_id.value, task.agent_id.value);
        self.use_room(agent, 1);
        self.seen.launches += 1;
        self.tasks.launched += 1;
        self.tasks.running.insert(name.clone(), Task { agent_id, agent: Some(agent), is_up: false });
        self.runs(&name);
        if hits(self.faults.renew_agent, self.tasks.launched) {
            self.renew(agent);
        }
    }

    /// Tells that a task can't be launched, as a master does whose offer is gone.
    fn drop_task(&mut self, task: v1::TaskInfo) {
        self.seen.dropped += 1;
        self.update(v1::TaskStatus {
            task_id: task.task_id,
            agent_id: Some(task.agent_id),
            state: TaskState::TaskDropped.into(),
            source: Some(Source::Master.into()),
            reason: Some(Reason::InvalidOffers.into()),
            message: Some("Task launched with invalid offers".to_owned()),
            ..Default::default()
        });
    }

    /// Says that a task runs, in an update that is to be acknowledged.
    pub(super) fn runs(&mut self, task: &str) {
        let agent_id = self.tasks.running.get(task).map(|task| task.agent_id.clone()).unwrap_or_default();
        self.tell(task, agent_id, TaskState::TaskRunning);
    }

    /// Tells of a task in an update that is sent again until it is acknowledged, unless another one follows.
    fn tell(&mut self, task: &str, agent_id: String, state: TaskState) {
        let open = Open { number: self.number(), agent_id, state };
        self.tasks.due.push_back((Instant::now() + RETRY, task.to_owned(), open.number));
        self.update(open.status(task));
        self.tasks.open.insert(task.to_owned(), open);
    }

    /// Sends again what nobody has acknowledged for long.
    pub(super) fn repeat(&mut self, now: Instant) {
        while let Some((_, task, number)) = self.tasks.due.pop_front_if(|(at, _, _)| *at <= now) {
            let Some(open) = self.tasks.open.get(&task).filter(|open| open.number == number) else { continue };
            self.update(open.status(&task));
            self.tasks.due.push_back((now + RETRY, task, number));
        }
    }

    pub(super) fn acknowledge(&mut self, acknowledge: &call::Acknowledge) {
        let now = Instant::now();
        self.seen.acted.get_or_insert(now);
        let task = &acknowledge.task_id.value;
        let Some(open) = self.tasks.open.get(task).filter(|open| open.uuid() == acknowledge.uuid) else { return };
        let is_running = open.state == TaskState::TaskRunning;
        self.tasks.open.remove(task);
        self.seen.acknowledgements += 1;
        self.seen.acknowledged = Some(now);
        if is_running {
            self.known_to_run(task);
        }
    }

    fn known_to_run(&mut self, task: &str) {
        if let Some(task) = self.tasks.running.get_mut(task).filter(|task| !task.is_up) {
            task.is_up = true;
            self.seen.up += 1;
        }
    }

    /// Tells the state of each task that is asked about, of all if none is named.
    pub(super) fn reconcile(&mut self, reconcile: call::Reconcile) {
        let mut asked: Vec<_> =
            reconcile.tasks.into_iter().map(|task| (task.task_id.value, task.agent_id.unwrap_or_default())).collect();
        if asked.is_empty() {
            let all = self.tasks.running.iter();
            asked = all.map(|(name, task)| (name.clone(), v1::AgentId { value: task.agent_id.clone() })).collect();
        }
        for (task, agent_id) in asked {
            self.known_to_run(&task);
            let state = match self.tasks.running.contains_key(&task) {
                true => TaskState::TaskRunning,
                false if self.registered.contains(&agent_id.value) => TaskState::TaskGone,
                false => TaskState::TaskUnknown,
            };
            self.update(v1::TaskStatus {
                task_id: v1::TaskId { value: task },
                agent_id: Some(agent_id).filter(|id| !id.value.is_empty()),
                state: state.into(),
                source: Some(Source::Master.into()),
                reason: Some(Reason::Reconciliation.into()),
                ..Default::default()
            });
        }
    }

    pub(super) fn kill(&mut self, kill: call::Kill) {
        let task = &kill.task_id.value;
        if self.tasks.running.contains_key(task) {
            self.end(task, TaskState::TaskKilled);
        } else {
            let asked = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            self.reconcile(call::Reconcile { tasks: vec![asked] });
        }
    }

    /// Ends all tasks of an agent that is gone.
    pub(super) fn lose(&mut self, agent_id: &str) {
        let on_it = self.tasks.running.iter().filter(|(_, task)| task.agent_id == agent_id);
        let on_it: Vec<_> = on_it.map(|(name, _)| name.clone()).collect();
        for task in on_it {
            self.end(&task, TaskState::TaskGone);
        }
    }

    fn end(&mut self, name: &str, state: TaskState) {
        let Some(task) = self.tasks.running.remove(name) else { return };
        if task.is_up {
            self.seen.up -= 1;
        }
        self.tell(name, task.agent_id, state);
        if let Some(agent) = task.agent {
            self.use_room(agent, -1);
        }
    }

    fn update(&self, status: v1::TaskStatus) {
        self.say(event::Type::Update, |event| event.update = Some(event::Update { status }));
    }
}

impl Open {
    fn uuid(&self) -> Vec<u8> {
        [[0; 8], self.number.to_be_bytes()].concat()
    }

    fn status(&self, task: &str) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: v1::TaskId { value: task.to_owned() },
            agent_id: Some(v1::AgentId { value: self.agent_id.clone() }),
            state: self.state.into(),
            healthy: (self.state == TaskState::TaskRunning).then_some(true),
            uuid: Some(self.uuid()),
            ..Default::default()
        }
    }
}

/// How long an agent waits for an acknowledgement before it sends an update again.
///
/// Source: Mesos, `src/slave/constants.hpp`, `STATUS_UPDATE_RETRY_INTERVAL_MIN`.
const RETRY: Duration = Duration::from_secs(10);
