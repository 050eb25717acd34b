//! The executor's machine: its link to the agent, its instances, its bundles, and its own end.

use std::collections::BTreeMap;
use std::time::Duration;

use epic_common::backoff::scramble;
use epic_common::conversation::{Nudge, Phase, Report};
use epic_common::ids::TaskId;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;

use crate::install::Installs;
use crate::instance::Instance;
use crate::traffic::{Input, Launch, Output, Work};
use crate::updates::{Content, Message, State, Updates};

/// What the agent tells an executor through its environment, and its randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether services go on while the agent is away.
    pub away: Away,
    /// The longest wait before subscribing again.
    pub subscription_backoff_max: Duration,
    /// The time in which everything must have ended after a shutdown was asked for.
    pub shutdown_grace: Duration,
    /// Different for each process; goes into the name of each update.
    pub seed: [u8; 8],
}

/// What to do while the agent is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Go on for so long, counted from the first disconnection: the framework has `checkpoint`.
    Continue(Duration),
    /// End at once.
    End,
}

/// One executor.
///
/// It ends when the terminal update of its last task is acknowledged. Kills of tasks that it does
/// not have are not answered: the agent knows the state of each task that it ever gave to the
/// executor, and would take an update of any other for a new task.
#[derive(Debug)]
pub struct Executor {
    settings: Settings,
    link: Link,
    attempts: u64,
    instances: BTreeMap<TaskId, Instance>,
    installs: Installs,
    updates: Updates,
    had_tasks: bool,
    ending: Option<Ending>,
    exited: bool,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Down { since: Timestamp, retry: Timestamp },
    Opening { since: Timestamp },
    Up,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Shutdown { ended: Option<Timestamp> },
    AgentLost,
}

/// The part of the shutdown grace that is kept for killing, and the time for the agent to take the last updates.
const LAST_UPDATES: Duration = Duration::from_secs(1);

/// How long a first subscription may take if the agent doesn't wait for its return.
const REGISTRATION: Duration = Duration::from_secs(60);

impl Executor {
    /// Makes an executor that hasn't subscribed yet.
    #[must_use]
    pub fn new(now: Timestamp, settings: Settings) -> Self {
        Self {
            link: Link::Down { since: now, retry: now },
            attempts: 0,
            instances: BTreeMap::new(),
            installs: Installs::default(),
            updates: Updates::new(settings.seed),
            had_tasks: false,
            ending: None,
            exited: false,
            settings,
        }
    }

    fn launch(&mut self, now: Timestamp, launch: Launch) {
        let task = launch.order.task.clone();
        if self.instances.contains_key(&task) {
            return;
        }
        self.had_tasks = true;
        self.installs.want(now, &launch.order);
        self.updates.begin(task.clone(), launch.description);
        self.instances.insert(task.clone(), Instance::new(launch.order));
        if self.ending.is_some() {
            self.kill(now, &task, None, "the executor is ending");
        }
    }

    fn kill(&mut self, now: Timestamp, task: &TaskId, grace: Option<Duration>, reason: &str) {
        if let Some(instance) = self.instances.get_mut(task) {
            instance.kill(now, grace, reason);
        }
    }

    fn end(&mut self, now: Timestamp, ending: Ending, reason: &str) {
        // A grace that the agent would cut short is no grace.
        let grace = self.settings.shutdown_grace;
        let grace = grace.saturating_sub(LAST_UPDATES).max(grace / 2);
        self.ending.get_or_insert(ending);
        for instance in self.instances.values_mut() {
            instance.kill(now, Some(grace), reason);
        }
    }

    fn disconnected(&mut self, now: Timestamp) {
        let since = match self.link {
            Link::Down { since, .. } | Link::Opening { since } => since,
            Link::Up => now,
        };
        if matches!((self.link, self.settings.away), (Link::Up, Away::End)) {
            self.end(now, Ending::AgentLost, "the agent is gone");
        }
        let most = u64::try_from(self.settings.subscription_backoff_max.as_micros()).unwrap_or(u64::MAX).max(1);
        self.attempts += 1;
        let wait = scramble(u64::from_be_bytes(self.settings.seed) ^ self.attempts) % most;
        self.link = Link::Down { since, retry: now + Duration::from_micros(wait) };
    }

    fn worked(&mut self, now: Timestamp, work: Work) {
        if let Some(task) = work.task() {
            if let Some(instance) = self.instances.get_mut(task) {
                instance.worked(now, work);
            }
            return;
        }
        match work {
            Work::Progressed { bundle, phase, percent } => self.installs.progressed(&bundle, phase, percent),
            Work::Fetched(bundle) => self.installs.fetched(&bundle),
            Work::FetchFailed { bundle, reason } => self.installs.fetch_failed(now, &bundle, reason),
            Work::Installed { bundle, manifest } => self.installs.ended(bundle, Ok(manifest)),
            Work::InstallFailed { bundle, reason } => self.installs.ended(bundle, Err(reason)),
            Work::Prepared(_)
            | Work::Refused { .. }
            | Work::Rendered { .. }
            | Work::RenderFailed { .. }
            | Work::Started(_)
            | Work::StartFailed { .. }
            | Work::Exited { .. }
            | Work::Probed { .. }
            | Work::Cleared(_)
            | Work::Destroyed(_) => {}
        }
    }

    /// Notes what time and bundles have changed, and tells the agent.
    fn settle(&mut self, now: Timestamp) {
        if let Some(reason) = self.patience().filter(|(until, _)| *until <= now).map(|(_, reason)| reason) {
            self.end(now, Ending::AgentLost, reason);
        }
        for (task, instance) in &mut self.instances {
            let install = self.installs.of(&instance.order().bundle);
            if let Some(install) = install {
                instance.bundle(now, install);
            }
            self.updates.tell(now, task, instance.content(install));
        }
        if let Some(Ending::Shutdown { ended: ended @ None }) = &mut self.ending
            && self.instances.values().all(Instance::is_ended)
        {
            *ended = Some(now);
        }
    }

    /// Says until when an agent that is away is waited for, if there is one and we aren't ending.
    fn patience(&self) -> Option<(Timestamp, &'static str)> {
        if self.ending.is_some() {
            return None;
        }
        let since = match self.link {
            Link::Down { since, .. } | Link::Opening { since } => since,
            Link::Up => return None,
        };
        Some(match self.settings.away {
            Away::Continue(most) => (since + most, "the agent did not come back within its recovery time-out"),
            Away::End => (since + REGISTRATION, "the agent did not let the executor subscribe"),
        })
    }

    fn subscribe(&mut self, now: Timestamp) -> Option<Output> {
        let Link::Down { since, retry } = self.link else { return None };
        if retry > now || matches!(self.ending, Some(Ending::AgentLost)) {
            return None;
        }
        self.link = Link::Opening { since };
        let (tasks, updates) = self.updates.subscribe(now);
        Some(Output::Subscribe { tasks, updates })
    }

    fn exit(&mut self, now: Timestamp) -> Option<Output> {
        let all_ended = self.instances.values().all(Instance::is_ended);
        let (code, reason) = match self.ending {
            None if self.had_tasks && self.updates.is_empty() => (0, "the last task has ended"),
            Some(Ending::Shutdown { .. }) if all_ended && self.updates.is_empty() => (0, "the agent asked for it"),
            Some(Ending::Shutdown { ended: Some(ended) }) if ended + LAST_UPDATES <= now => {
                (0, "the agent asked for it")
            }
            Some(Ending::AgentLost) if all_ended => (1, "the agent is gone"),
            None | Some(Ending::Shutdown { .. } | Ending::AgentLost) => return None,
        };
        self.exited = true;
        Some(Output::Exit { code, reason })
    }
}

impl Machine for Executor {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Subscribed => self.link = Link::Up,
            Input::Disconnected => self.disconnected(now),
            Input::Launch(launch) => self.launch(now, launch),
            Input::Unreadable { task, description, reason } => {
                self.had_tasks = true;
                self.updates.begin(task.clone(), description);
                let report = Report { phase: Phase::Ended, ..Report::default() };
                let message = Message::new(reason);
                self.updates.tell(now, &task, Content { state: State::Failed, message, healthy: None, report });
            }
            Input::Kill { task, grace } => self.kill(now, &task, grace, "stopped on request"),
            Input::Acknowledged { task, update } => {
                if self.updates.acknowledged(&task, update) {
                    self.instances.remove(&task);
                }
            }
            Input::Nudged(Nudge::Document { instance, document }) => {
                for known in self.instances.values_mut().filter(|known| known.order().task.unit == instance) {
                    known.document(document.clone());
                }
            }
            Input::Nudged(Nudge::Sources { urls }) => self.installs.moved(now, &urls),
            Input::Shutdown => {
                self.end(now, Ending::Shutdown { ended: None }, "the agent asked the executor to end");
            }
            Input::Worked(work) => self.worked(now, work),
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Output> {
        if self.exited {
            return None;
        }
        self.settle(now);
        if let Some(output) = self.instances.values_mut().find_map(|instance| instance.poll(now)) {
            return Some(output);
        }
        if let Some(output) = self.installs.poll(now) {
            return Some(output);
        }
        self.settle(now);
        if let Some(subscribe) = self.subscribe(now) {
            return Some(subscribe);
        }
        if matches!(self.link, Link::Up)
            && let Some(update) = self.updates.poll(now)
        {
            return Some(Output::Send(update));
        }
        self.exit(now)
    }

    fn deadline(&self) -> Option<Timestamp> {
        if self.exited {
            return None;
        }
        let link = match (self.link, self.ending) {
            (Link::Down { retry, .. }, None | Some(Ending::Shutdown { .. })) => Some(retry),
            (Link::Down { .. }, Some(Ending::AgentLost)) | (Link::Opening { .. }, _) => None,
            (Link::Up, _) => self.updates.deadline(),
        };
        let shutdown = match self.ending {
            Some(Ending::Shutdown { ended }) => ended.map(|ended| ended + LAST_UPDATES),
            Some(Ending::AgentLost) | None => None,
        };
        let progress = self.instances.iter().filter_map(|(task, instance)| {
            let content = instance.content(self.installs.of(&instance.order().bundle));
            let told = self.updates.last(task).is_none_or(|last| last.state.is_terminal() || *last == content);
            if told { None } else { self.updates.next_progress(task) }
        });
        let instances = self.instances.values().filter_map(Instance::deadline);
        let patience = self.patience().map(|(until, _)| until);
        [link, shutdown, patience, self.installs.deadline()]
            .into_iter()
            .flatten()
            .chain(progress)
            .chain(instances)
            .min()
    }
}
