//! What the model does with each call.

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::conversation::Nudge;
use epic_common::ids::{AgentId, ExecutorId, OfferId, UpdateId};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Call, Launch, StreamId, TaskState};
use epic_scheduler_core::session::CallAnswer;

use super::{Mesos, Pool, Presence, Task};

impl Mesos {
    /// Takes a call that arrives on a stream.
    ///
    /// # Panics
    ///
    /// If the call breaks a rule of Mesos, such as a task's name that was used before.
    pub fn call(&mut self, now: Timestamp, stream: &StreamId, call: &Call) -> CallAnswer {
        if self.stream.as_ref() != Some(stream) {
            return CallAnswer::Fenced;
        }
        match call {
            Call::Accept { offers, agent, launches, refuse } => {
                let [offer] = offers.as_slice() else { panic!("the model knows ACCEPTs of one offer: {offers:?}") };
                self.accept(now, (offer, agent), launches, *refuse);
            }
            Call::Decline { offers, refuse } => {
                for offer in offers {
                    let refused = self.offers.get(offer).map(|(_, pool)| pool.clone());
                    self.settle_offer(now, offer, refused.map(|refused| (refused, *refuse)));
                }
            }
            Call::Revive => {
                self.suppressed = false;
                self.filters.clear();
            }
            Call::Suppress => self.suppressed = true,
            Call::Kill { task, agent } => self.kill(now, agent, task),
            Call::Acknowledge { task, agent, uuid } => self.acknowledge(agent, task, *uuid),
            Call::Reconcile { tasks } => {
                for (task, agent) in tasks {
                    self.reconcile(agent, &task.to_string());
                }
            }
            Call::ReconcileAll => self.reconcile_all(),
            Call::Message { agent, executor, nudge } => self.message(agent, executor, nudge),
            Call::Teardown if self.teardowns_to_refuse > 0 => {
                self.teardowns_to_refuse -= 1;
                return CallAnswer::Refused("not now".to_owned());
            }
            Call::Teardown => self.teardown(),
        }
        CallAnswer::Accepted
    }

    fn accept(&mut self, now: Timestamp, (offer, agent): (&OfferId, &AgentId), launches: &[Launch], refuse: Duration) {
        let Some((owner, pool)) = self.settle_offer(now, offer, None) else {
            for launch in launches {
                self.say_state(agent, &launch.order.task.to_string(), TaskState::Dropped, "REASON_INVALID_OFFERS");
            }
            return;
        };
        assert_eq!(owner, *agent, "an offer was accepted in another agent's name");
        let mut left = pool;
        for launch in launches {
            left = self.launch(now, agent, launch, left);
        }
        self.filters_push(agent, left, now + refuse);
    }

    fn filters_push(&mut self, agent: &AgentId, refused: Pool, until: Timestamp) {
        self.filters.push(super::offers::Filter::new(agent.clone(), refused, until));
    }

    /// Starts a task; answers what is left of the offer.
    fn launch(&mut self, now: Timestamp, agent: &AgentId, launch: &Launch, left: Pool) -> Pool {
        let name = launch.order.task.to_string();
        let framework = self.framework.clone().expect("who accepts is subscribed");
        assert!(self.task_names.insert((framework.clone(), name.clone())), "the task id {name} was used before");
        let known = self.executors.entry(launch.executor.id.clone()).or_insert_with(|| launch.executor.clone());
        assert_eq!(*known, launch.executor, "an executor id has two descriptions");
        let runs =
            self.agents[agent].tasks.values().any(|task| task.is_alive() && task.executor.id == launch.executor.id);
        let takes = Pool::asked(&launch.resources).expect("a task asks only for what was offered");
        let asked = if runs { takes.clone() } else { takes.clone().with(&launch.executor) };
        assert!(left.holds(&asked), "{name} asks for {asked:?} of an offer of {left:?}");
        if self.launches_to_lose > 0 {
            self.launches_to_lose -= 1;
            return left;
        }
        let documents =
            launch.order.documents.iter().map(|document| (document.name.clone(), document.generation)).collect();
        let host = self.agents.get_mut(agent).expect("an offer is of an agent that is there");
        let task = Task {
            framework,
            executor: launch.executor.clone(),
            order: launch.order.clone(),
            takes,
            state: TaskState::Staging,
            sources: launch.order.artifacts.clone(),
            documents,
            arrived: host.connected,
            next: host.connected.then(|| (now + Duration::from_millis(100), TaskState::Starting)),
            pending: VecDeque::new(),
            sent_at: None,
            forwarded: TaskState::Staging,
        };
        host.tasks.insert(name, task);
        left.minus(&asked)
    }

    fn kill(&mut self, now: Timestamp, agent: &AgentId, name: &str) {
        let elsewhere = self.tasks().any(|(host, known, _)| known == name && host.id != *agent);
        if elsewhere {
            return;
        }
        let registered = self.agents.get(agent).filter(|host| host.presence == Presence::Registered);
        let known = registered.and_then(|host| host.tasks.get(name)).is_some_and(|task| self.is_ours(task));
        if !known {
            self.reconcile(agent, name);
            return;
        }
        if self.kills_to_lose > 0 {
            self.kills_to_lose -= 1;
            return;
        }
        self.end_by_executor(now, agent, name);
    }

    /// Begins to stop a task whose agent can be reached.
    fn end_by_executor(&mut self, now: Timestamp, agent: &AgentId, name: &str) {
        let uuid = self.next_uuid();
        let Some(host) = self.agents.get_mut(agent).filter(|host| host.connected) else { return };
        let Some(task) = host.tasks.get_mut(name) else { return };
        if task.is_alive() && task.state != TaskState::Killing {
            task.enter(now, (agent, name), TaskState::Killing, uuid);
        }
    }

    fn acknowledge(&mut self, agent: &AgentId, name: &str, uuid: UpdateId) {
        let Some(host) = self.agents.get_mut(agent).filter(|host| host.is_up()) else { return };
        let Some(task) = host.tasks.get_mut(name) else { return };
        if task.pending.pop_front_if(|status| status.uuid == Some(uuid)).is_some() {
            task.sent_at = None;
        }
        if !task.is_alive() && task.pending.is_empty() {
            self.forget(agent, name);
        }
    }

    fn message(&mut self, agent: &AgentId, executor: &ExecutorId, nudge: &Nudge) {
        let uuid = self.next_uuid();
        let Some(host) = self.agents.get_mut(agent).filter(|host| host.is_up()) else { return };
        let (instance, document) = match nudge {
            Nudge::Document { instance, document } => (instance, document),
            Nudge::Sources { urls } => {
                let its = |task: &&mut Task| task.executor.id == *executor && task.state != TaskState::Staging;
                for task in host.tasks.values_mut().filter(its) {
                    task.sources.clone_from(urls);
                }
                return;
            }
        };
        let mut readers =
            host.tasks.iter_mut().filter(|(_, task)| task.order.task.unit == *instance && task.is_alive());
        let Some((name, task)) = readers.next() else { return };
        let known = task.documents.get(&document.name).copied().unwrap_or(0);
        if known < document.generation && task.state == TaskState::Running {
            task.documents.insert(document.name.clone(), document.generation);
            let name = name.clone();
            task.say(agent, &name, uuid);
        }
    }

    fn teardown(&mut self) {
        let Some(framework) = self.framework.take() else { return };
        for host in self.agents.values_mut().filter(|host| host.is_up()) {
            host.tasks.retain(|_, task| task.framework != framework);
        }
        self.removed.insert(framework);
        self.offers.clear();
        self.filters.clear();
        self.end_stream("Framework has been removed");
    }
}
