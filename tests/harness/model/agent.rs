//! An agent of the model: its tasks, their executors' updates, and how the master sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use epic_common::conversation::{LaunchOrder, Phase, Report};
use epic_common::ids::{AgentId, FrameworkId, UpdateId};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Executor, Meaning, Status, TaskState};

use super::Pool;

/// How long an agent waits for an acknowledgement before it says an update again.
pub(super) const RESEND: Duration = Duration::from_secs(10);

/// How long an executor waits before it looks for its bundle again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How the master sees an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is registered.
    Registered,
    /// The master has just started and knows it only from the registry.
    Recovering,
    /// It was marked unreachable.
    Unreachable,
}

/// One agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub id: AgentId,
    /// Its host.
    pub hostname: String,
    /// All it has.
    pub total: Pool,
    /// How the master sees it.
    pub presence: Presence,
    /// Whether master and agent reach each other.
    pub connected: bool,
    /// When the master gives up waiting for it.
    pub(super) unreachable_at: Option<Timestamp>,
    /// By name; an ended one is there until its last update is acknowledged.
    pub tasks: BTreeMap<String, Task>,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub framework: FrameworkId,
    /// Its executor.
    pub executor: Executor,
    /// What the executor was told.
    pub order: LaunchOrder,
    /// What it takes, without its executor.
    pub takes: Pool,
    /// Its true state.
    pub state: TaskState,
    /// Where its executor looks for the bundle.
    pub sources: Vec<String>,
    /// The newest generation of each document that its executor has put to use.
    pub documents: BTreeMap<String, u64>,
    /// Whether the agent has heard of it.
    pub(super) arrived: bool,
    /// What it does next.
    pub(super) next: Option<(Timestamp, TaskState)>,
    /// Updates that aren't acknowledged, oldest first; only the first is ever sent.
    pub(super) pending: VecDeque<Status>,
    /// When the first of them was last sent.
    pub(super) sent_at: Option<Timestamp>,
    /// The state that was last sent to the framework.
    pub(super) forwarded: TaskState,
}

impl Agent {
    /// Adds up what is taken by tasks and executors that the master knows of.
    #[must_use]
    pub fn used(&self) -> Pool {
        let tasks = self.tasks.values().filter(|task| task.is_alive());
        let mut used = tasks.clone().fold(Pool::default(), |used, task| used.plus(&task.takes));
        let executors: BTreeMap<_, _> = tasks.map(|task| (&task.executor.id, &task.executor)).collect();
        for executor in executors.values() {
            used = used.with(executor);
        }
        used
    }

    /// Tells whether the master can reach it and takes its word.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.connected && self.presence == Presence::Registered
    }
}

impl Task {
    /// Tells whether it runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state.meaning() == Meaning::Alive
    }

    /// Tells whether all that it said was acknowledged.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Enters a state and says so in an update.
    pub(super) fn enter(&mut self, now: Timestamp, (agent, name): (&AgentId, &str), state: TaskState, uuid: UpdateId) {
        self.state = state;
        self.next = match state {
            TaskState::Starting => Some((now + Duration::from_millis(400), TaskState::Running)),
            TaskState::Killing => Some((now + Duration::from_millis(250), TaskState::Killed)),
            TaskState::Staging
            | TaskState::Running
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => None,
        };
        self.say(agent, name, uuid);
    }

    /// Says what comes of what it does next, with nothing at these places: without its program an executor ends, without
    /// the bundle it goes on looking.
    pub(super) fn without(&self, places: &BTreeSet<String>, state: TaskState) -> Option<TaskState> {
        let is_gone = |url: &String| places.iter().any(|place| url.starts_with(place.as_str()));
        match state {
            TaskState::Starting if is_gone(&self.executor.url) => Some(TaskState::Failed),
            TaskState::Running if self.sources.iter().all(is_gone) => None,
            TaskState::Starting
            | TaskState::Running
            | TaskState::Staging
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => Some(state),
        }
    }

    /// Says its state and documents in an update.
    pub(super) fn say(&mut self, agent: &AgentId, name: &str, uuid: UpdateId) {
        let phase = match self.state.meaning() {
            Meaning::Ended => Phase::Ended,
            Meaning::Alive | Meaning::Unclear if self.state == TaskState::Running => Phase::Ready,
            Meaning::Alive | Meaning::Unclear => Phase::Accepted,
        };
        let report = Report { phase, documents: self.documents.clone(), ..Report::default() };
        self.pending.push_back(Status {
            task: name.to_owned(),
            agent: Some(agent.clone()),
            state: self.state,
            reason: String::new(),
            message: String::new(),
            uuid: Some(uuid),
            healthy: (self.state == TaskState::Running).then_some(true),
            report: Some(report),
        });
    }

    /// Says when it does something by itself.
    pub(super) fn deadline(&self, is_up: bool) -> Option<Timestamp> {
        let resend = match (is_up, self.pending.front(), self.sent_at) {
            (true, Some(_), Some(sent)) => Some(sent + RESEND),
            (true, Some(_), None) => Some(Timestamp(0)),
            (_, None, _) | (false, Some(_), _) => None,
        };
        let next = self.next.as_ref().map(|(at, _)| *at);
        [resend, next].into_iter().flatten().min()
    }
}
