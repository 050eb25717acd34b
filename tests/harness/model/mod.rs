//! An honest Mesos master with agents and executors, as a value: calls in, events out, time as an argument.
//!
//! It knows what a framework can tell apart: streams that fence each other, offers with filters, launches, updates that
//! are repeated until they are acknowledged, reconciliation with its silences, agents that go and come, masters that fail
//! over. Sources are those of the real Mesos 1.11.0: `master.cpp` for reconciliation and kills, `hierarchical.cpp` for
//! filters, the scheduler HTTP API page for streams.

mod agent;
mod calls;
mod faults;
mod history;
mod offers;
mod pool;
mod replicas;
mod specimen;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use epic_common::ids::{AgentId, ExecutorId, FrameworkId, OfferId, UpdateId};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Event, Executor, LinkEnd, Status, StreamId, Subscribe, TaskState};

pub use agent::{Agent, Presence, Task};
pub use pool::Pool;
pub use replicas::{Process, Replica, Replicas, SESSION_TIMEOUT, Step};
pub use specimen::{agents, desired, policy};
pub use world::{Action, Crash, World};

/// What comes out of a stream.
#[derive(Clone, Debug)]
pub enum Out {
    /// Something was said.
    Event(StreamId, Event),
    /// It ended.
    End(StreamId, LinkEnd),
}

/// A master with its agents.
#[derive(Clone, Debug, Default)]
pub struct Mesos {
    /// By name.
    pub agents: BTreeMap<AgentId, Agent>,
    /// What the framework hasn't read yet.
    pub out: VecDeque<Out>,
    /// Launches that will vanish between master and agent without a word.
    pub launches_to_lose: u32,
    /// Kills that will vanish between master and agent without a word.
    pub kills_to_lose: u32,
    /// How often TEARDOWN will be refused.
    pub teardowns_to_refuse: u32,
    /// Where artifacts were served and are no more.
    pub gone: BTreeSet<String>,
    /// Frameworks that were torn down and are still remembered.
    pub removed: BTreeSet<FrameworkId>,
    framework: Option<FrameworkId>,
    stream: Option<StreamId>,
    suppressed: bool,
    offers: BTreeMap<OfferId, (AgentId, Pool)>,
    filters: Vec<offers::Filter>,
    executors: BTreeMap<ExecutorId, Executor>,
    task_names: BTreeSet<(FrameworkId, String)>,
    numbers: u64,
}

impl Mesos {
    /// Makes a master with these agents.
    #[must_use]
    pub fn new(agents: Vec<Agent>) -> Self {
        Self { agents: agents.into_iter().map(|agent| (agent.id.clone(), agent)).collect(), ..Self::default() }
    }

    /// Gives a subscription, which ends the one before.
    ///
    /// # Errors
    ///
    /// If the framework was torn down.
    pub fn subscribe(&mut self, subscribe: &Subscribe) -> Result<StreamId, LinkEnd> {
        if self.removed.contains(&subscribe.framework) {
            return Err(LinkEnd::Said("Framework has been removed".to_owned()));
        }
        self.end_stream("Framework failed over");
        let stream = StreamId(format!("stream-{}", self.next_number()));
        self.framework = Some(subscribe.framework.clone());
        self.stream = Some(stream.clone());
        self.suppressed = subscribe.suppressed;
        // Nobody is left to hear what tasks of another framework have still to say.
        for host in self.agents.values_mut() {
            host.tasks.retain(|_, task| task.is_alive() || task.framework == subscribe.framework);
        }
        // Offers are void without a word. Filters stay: a master that hasn't noticed the break doesn't deactivate.
        self.offers.clear();
        self.say(Event::Subscribed);
        Ok(stream)
    }

    fn end_stream(&mut self, why: &str) {
        if let Some(stream) = self.stream.take() {
            self.out.push_back(Out::End(stream, LinkEnd::Said(why.to_owned())));
        }
    }

    fn say(&mut self, event: Event) {
        if let Some(stream) = &self.stream {
            self.out.push_back(Out::Event(stream.clone(), event));
        }
    }

    /// Says a state in the master's own name, which needs no acknowledgement.
    fn say_state(&mut self, agent: &AgentId, name: &str, state: TaskState, reason: &str) {
        self.say(Event::Update(Box::new(Status {
            task: name.to_owned(),
            agent: Some(agent.clone()),
            state,
            reason: reason.to_owned(),
            message: String::new(),
            uuid: None,
            healthy: None,
            report: None,
        })));
    }

    /// Does all that is due: executors go on, updates are sent or sent again, agents are given up, offers are made.
    pub fn step(&mut self, now: Timestamp) {
        let late: Vec<_> = self
            .agents
            .values()
            .filter(|agent| agent.unreachable_at.is_some_and(|at| at <= now))
            .map(|agent| agent.id.clone())
            .collect();
        for agent in late {
            self.mark_unreachable(&agent);
        }
        let names: Vec<_> = self.tasks().map(|(agent, name, _)| (agent.id.clone(), name.to_owned())).collect();
        for (agent, name) in names {
            self.step_task(now, &agent, &name);
        }
        self.allocate(now);
    }

    fn step_task(&mut self, now: Timestamp, agent: &AgentId, name: &str) {
        let uuid = self.next_uuid();
        let (up, subscribed) = (self.agents[agent].is_up(), self.stream.is_some());
        let executors = self.running(agent);
        let Some(task) = self.agents.get_mut(agent).and_then(|agent| agent.tasks.get_mut(name)) else { return };
        if let Some((_, state)) = task.next.take_if(|(at, _)| *at <= now) {
            // An executor that runs already needs no program.
            let is_there = state == TaskState::Starting && executors.contains(&task.executor.id);
            match if is_there { Some(state) } else { task.without(&self.gone, state) } {
                Some(state) => task.enter(now, (agent, name), state, uuid),
                None => task.next = Some((now + agent::LOOK_AGAIN, state)),
            }
        }
        let due = task.sent_at.is_none_or(|sent| sent + agent::RESEND <= now);
        let ours = self.framework.as_ref() == Some(&task.framework);
        if let (true, true, Some(status)) = (up && due, subscribed && ours, task.pending.front().cloned()) {
            task.sent_at = Some(now);
            task.forwarded = status.state;
            self.say(Event::Update(Box::new(status)));
        }
    }

    /// Lists the executors of an agent that have been started.
    fn running(&self, agent: &AgentId) -> BTreeSet<ExecutorId> {
        let tasks =
            self.agents[agent].tasks.values().filter(|task| task.is_alive() && task.state != TaskState::Staging);
        tasks.map(|task| task.executor.id.clone()).collect()
    }

    /// Says when [`step`](Self::step) has something to do.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let subscribed = self.stream.is_some();
        let tasks = self
            .tasks()
            .filter_map(|(agent, _, task)| task.deadline(agent.is_up() && subscribed && self.is_ours(task)));
        let agents = self.agents.values().filter_map(|agent| agent.unreachable_at);
        tasks.chain(agents).chain(self.filters_end(now)).min()
    }

    /// Lists all tasks with their agents.
    pub fn tasks(&self) -> impl Iterator<Item = (&Agent, &str, &Task)> {
        self.agents.values().flat_map(|agent| agent.tasks.iter().map(move |(name, task)| (agent, name.as_str(), task)))
    }

    /// Tells whether a task is of the framework that is known.
    #[must_use]
    pub fn is_ours(&self, task: &Task) -> bool {
        self.framework.as_ref() == Some(&task.framework)
    }

    /// Lists the names of all tasks that run, also where the master can't see them.
    #[must_use]
    pub fn alive(&self) -> Vec<String> {
        self.tasks().filter(|(_, _, task)| task.is_alive()).map(|(_, name, _)| name.to_owned()).collect()
    }

    /// Counts the tasks that were ever launched.
    #[must_use]
    pub fn launched(&self) -> usize {
        self.task_names.len()
    }

    /// Returns the subscription that stands.
    #[must_use]
    pub const fn stream(&self) -> Option<&StreamId> {
        self.stream.as_ref()
    }

    /// Tells whether the framework doesn't want offers.
    #[must_use]
    pub const fn is_suppressed(&self) -> bool {
        self.suppressed
    }

    const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn next_uuid(&mut self) -> UpdateId {
        UpdateId(u128::from(self.next_number()).to_be_bytes())
    }

    /// Forgets a task, and its executor with its last one.
    fn forget(&mut self, agent: &AgentId, name: &str) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.tasks.remove(name);
        }
    }

    /// Answers for one task: what is known of it, or what follows from how the agent is seen. May be silent.
    /// Says the state of every task of the framework on an agent that is there.
    fn reconcile_all(&mut self) {
        let there = self.tasks().filter(|(host, _, task)| host.presence == Presence::Registered && self.is_ours(task));
        let there: Vec<_> = there.map(|(host, name, _)| (host.id.clone(), name.to_owned())).collect();
        for (agent, name) in there {
            self.reconcile(&agent, &name);
        }
    }

    fn reconcile(&mut self, agent: &AgentId, name: &str) {
        let reason = "REASON_RECONCILIATION";
        let state = match self.agents.get(agent) {
            None => TaskState::Unknown,
            Some(known) => match (known.presence, known.tasks.get(name).filter(|task| self.is_ours(task))) {
                (Presence::Registered, Some(task)) => task.forwarded,
                (Presence::Registered, None) => TaskState::Gone,
                (Presence::Recovering, _) => return,
                (Presence::Unreachable, _) => TaskState::Unreachable,
            },
        };
        self.say_state(agent, name, state, reason);
    }
}
