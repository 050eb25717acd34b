//! What can happen to the model: agents go and come, masters fail over, services crash, links break.

use std::time::Duration;

use epic_common::ids::{AgentId, FrameworkId};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Event, LinkEnd, TaskState};

use super::{Mesos, Out, Presence};

/// How long a master waits for an agent that doesn't answer.
const PING_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a new master waits for an agent to register again.
const REREGISTER_TIMEOUT: Duration = Duration::from_secs(600);

impl Mesos {
    /// Cuts an agent off; what runs there runs on.
    pub fn lose_agent(&mut self, now: Timestamp, agent: &AgentId) {
        if let Some(host) = self.agents.get_mut(agent).filter(|host| host.connected) {
            host.connected = false;
            if host.presence == Presence::Registered {
                host.unreachable_at = Some(now + PING_TIMEOUT);
            }
        }
    }

    /// Lets an agent register again, with all that ran on.
    pub fn return_agent(&mut self, agent: &AgentId) {
        let Some(host) = self.agents.get_mut(agent) else { return };
        let before = host.presence;
        (host.connected, host.presence, host.unreachable_at) = (true, Presence::Registered, None);
        let names: Vec<_> = host.tasks.keys().cloned().collect();
        for name in names {
            self.return_task(agent, &name, before);
        }
    }

    fn return_task(&mut self, agent: &AgentId, name: &str, before: Presence) {
        let Some(task) = self.agents.get_mut(agent).and_then(|host| host.tasks.get_mut(name)) else { return };
        task.sent_at = None;
        let (arrived, state) = (task.arrived, task.forwarded);
        if self.removed.contains(&task.framework)
            || self.framework.as_ref().is_some_and(|known| *known != task.framework)
        {
            // The master tells the agent to shut that framework down.
            self.forget(agent, name);
        } else if !arrived {
            self.forget(agent, name);
            self.say_state(agent, name, TaskState::Dropped, "REASON_RECONCILIATION");
        } else if before == Presence::Unreachable {
            self.say_state(agent, name, state, "REASON_SLAVE_REREGISTERED");
        }
    }

    pub(super) fn mark_unreachable(&mut self, agent: &AgentId) {
        let Some(host) = self.agents.get_mut(agent) else { return };
        (host.presence, host.unreachable_at) = (Presence::Unreachable, None);
        let framework = &self.framework;
        let ours = host.tasks.iter().filter(|(_, task)| framework.as_ref() == Some(&task.framework));
        let names: Vec<_> = ours.map(|(name, _)| name.clone()).collect();
        self.rescind(|whose| whose == agent);
        for name in names {
            self.say_state(agent, &name, TaskState::Unreachable, "REASON_SLAVE_REMOVED");
        }
    }

    /// Puts another master in place, which knows agents from the registry and tasks only from agents that come back.
    pub fn fail_over(&mut self, now: Timestamp) {
        self.break_link();
        self.removed.clear();
        self.framework = None;
        self.filters.clear();
        for host in self.agents.values_mut().filter(|host| host.presence == Presence::Registered) {
            (host.presence, host.unreachable_at) = (Presence::Recovering, Some(now + REREGISTER_TIMEOUT));
            host.tasks.retain(|_, task| task.arrived);
        }
    }

    /// Ends the stream without a word; what it had still to say is lost.
    pub fn break_link(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.out.clear();
            self.out.push_back(Out::End(stream, LinkEnd::Broke("the connection was reset".to_owned())));
        }
        self.offers.clear();
    }

    /// Ends a task badly, as a service's crash does.
    pub fn crash_task(&mut self, now: Timestamp, name: &str) {
        let uuid = self.next_uuid();
        for (id, host) in &mut self.agents {
            if let Some(task) = host.tasks.get_mut(name).filter(|task| task.is_alive() && task.arrived) {
                task.enter(now, (id, name), TaskState::Failed, uuid);
            }
        }
    }

    /// Hints that something failed on an agent.
    pub fn hint_failure(&mut self, agent: &AgentId) {
        self.say(Event::Failure { agent: agent.clone() });
    }

    /// Sends an update again that was sent and isn't acknowledged yet.
    pub fn repeat_update(&mut self, name: &str) {
        for host in self.agents.values_mut() {
            if let Some(task) = host.tasks.get_mut(name) {
                task.sent_at = None;
            }
        }
    }

    /// Gives a running task another name, as if it were somebody else's.
    pub fn rename_task(&mut self, name: &str, other: &str) {
        for host in self.agents.values_mut() {
            if let Some(task) = host.tasks.remove(name) {
                host.tasks.insert(other.to_owned(), task);
            }
        }
    }

    /// Returns the framework that is known.
    #[must_use]
    pub const fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }
}
