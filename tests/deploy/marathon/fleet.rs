//! What Marathon would do next with an app's instances: values in, values out.
//!
//! Source: Marathon's documents on deployments, constraints, task handling, and its `Unreachable Strategy`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::definition::{Definition, KillSelection};

/// The instances of one app.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) app: Definition,
    /// The version of the app as it is, and the first one in which all but the number of instances was as it is.
    pub(crate) version: u32,
    changed: u32,
    instances: BTreeMap<String, Instance>,
    ends: u32,
    blocked_until: Option<Instant>,
}

/// One instance: one Mesos task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) task_id: String,
    pub(crate) host: String,
    pub(crate) agent_id: String,
    pub(crate) ports: Vec<u16>,
    pub(crate) version: u32,
    pub(crate) launched: Instant,
    pub(crate) state: State,
    pub(crate) is_healthy: bool,
    pub(crate) is_ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Staging,
    Running,
    /// Its agent hasn't been heard of since.
    Unreachable(Instant),
    /// It was told to end then.
    Killing(Instant),
}

/// What Mesos says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running { is_healthy: Option<bool> },
    Unreachable,
    Killing,
    Failed,
    Ended,
}

/// What an agent has for us.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) id: String,
    pub(crate) agent_id: String,
    pub(crate) host: String,
    pub(crate) cpus: f64,
    pub(crate) mem: f64,
    pub(crate) disk: f64,
    pub(crate) ports: Vec<u16>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch { offer_id: String, task_id: String },
    Decline { offer_id: String },
    Kill { task_id: String, agent_id: String },
}

impl Fleet {
    pub(crate) fn new(app: Definition) -> Self {
        Self { app, version: 1, changed: 1, instances: BTreeMap::new(), ends: 0, blocked_until: None }
    }

    /// Takes another definition: if only the number of instances differs, those that run are as they should be.
    pub(crate) fn put(&mut self, app: Definition) {
        self.version += 1;
        if app.scaled(0) != self.app.scaled(0) {
            self.changed = self.version;
            (self.ends, self.blocked_until) = (0, None);
        }
        self.app = app;
    }

    pub(crate) fn instances(&self) -> Vec<Instance> {
        self.instances.values().cloned().collect()
    }

    pub(crate) fn instance(&self, task_id: &str) -> Option<&Instance> {
        self.instances.get(task_id)
    }

    /// Says whether an instance has the app's present definition.
    pub(crate) fn is_current(&self, instance: &Instance) -> bool {
        instance.version >= self.changed
    }

    pub(crate) fn ready(&mut self, task_id: &str) {
        if let Some(instance) = self.instances.get_mut(task_id) {
            instance.is_ready = true;
        }
    }

    /// Takes what Mesos says; returns whether the task is none of ours and has to go.
    pub(crate) fn hear(&mut self, task_id: &str, status: Status, now: Instant) -> bool {
        let Some(instance) = self.instances.get_mut(task_id) else {
            return matches!(status, Status::Running { .. });
        };
        match (status, instance.state) {
            (Status::Failed | Status::Ended, state) => {
                let was_asked = matches!(state, State::Killing(_));
                self.instances.remove(task_id);
                if !was_asked {
                    self.ends += 1;
                    self.blocked_until = now.checked_add(self.app.backoff(self.ends));
                }
            }
            (Status::Running { is_healthy }, State::Staging | State::Running | State::Unreachable(_)) => {
                instance.state = State::Running;
                if let Some(is_healthy) = is_healthy {
                    instance.is_healthy = is_healthy;
                    if is_healthy {
                        (self.ends, self.blocked_until) = (0, None);
                    }
                }
            }
            (Status::Unreachable, State::Staging | State::Running) => instance.state = State::Unreachable(now),
            (Status::Running { .. } | Status::Unreachable, _) | (Status::Killing, _) => {}
        }
        false
    }

    /// Says what to do now; all offers are used or declined.
    pub(crate) fn plan(&mut self, now: Instant, offers: &[Offer]) -> Vec<Action> {
        let mut actions = self.kill_again(now);
        self.expunge(now);
        let (wanted, active) = (self.app.instances, self.active(now));
        let current = active.iter().filter(|instance| self.is_current(instance)).count();
        let healthy = active.iter().filter(|instance| instance.is_healthy && instance.is_ready).count();
        let spare = active.len().saturating_sub(wanted);
        let old: Vec<_> = active.iter().filter(|instance| !self.is_current(instance)).cloned().collect();
        let doomed = if old.is_empty() {
            self.chosen(active, spare)
        } else {
            // Whoever isn't of use can go at once; of the others as many as the least number allows.
            let (good, bad): (Vec<_>, Vec<_>) = old.into_iter().partition(|one| one.is_healthy && one.is_ready);
            let allowed = healthy.saturating_sub(self.app.least_healthy());
            bad.into_iter().chain(self.chosen(good, allowed)).collect()
        };
        for instance in doomed {
            actions.push(self.kill(&instance, now));
        }
        let room = self.app.most().saturating_sub(self.present(now));
        let mut lacking = wanted.saturating_sub(current).min(room);
        for offer in offers {
            if lacking > 0 && self.takes(offer, now) {
                lacking -= 1;
                actions.push(self.launch(offer, now));
            } else {
                actions.push(Action::Decline { offer_id: offer.id.clone() });
            }
        }
        actions
    }

    /// Says whether offers are of use now.
    pub(crate) fn wants(&self, now: Instant) -> bool {
        let current = self.active(now).iter().filter(|instance| self.is_current(instance)).count();
        current < self.app.instances && self.app.most() > self.present(now) && !self.is_blocked(now)
    }

    fn is_blocked(&self, now: Instant) -> bool {
        self.blocked_until.is_some_and(|until| now < until)
    }

    /// Those that count: neither on their way out nor lost for long.
    fn active(&self, now: Instant) -> Vec<Instance> {
        let counts = |instance: &&Instance| match instance.state {
            State::Staging | State::Running => true,
            State::Unreachable(since) => now.duration_since(since) < self.app.inactive_after(),
            State::Killing(_) => false,
        };
        self.instances.values().filter(counts).cloned().collect()
    }

    /// Those that count, and those that still end.
    fn present(&self, now: Instant) -> usize {
        let ending = self.instances.values().filter(|instance| matches!(instance.state, State::Killing(_))).count();
        self.active(now).len() + ending
    }

    /// The first so many to go: who doesn't run yet before who does, then as the app says.
    fn chosen(&self, mut from: Vec<Instance>, count: usize) -> Vec<Instance> {
        from.sort_by_key(|instance| instance.launched);
        match self.app.kill_selection {
            KillSelection::YoungestFirst => from.reverse(),
            KillSelection::OldestFirst => {}
        }
        from.sort_by_key(|instance| instance.state == State::Running);
        from.truncate(count);
        from
    }

    fn kill(&mut self, instance: &Instance, now: Instant) -> Action {
        if let Some(instance) = self.instances.get_mut(&instance.task_id) {
            instance.state = State::Killing(now);
        }
        Action::Kill { task_id: instance.task_id.clone(), agent_id: instance.agent_id.clone() }
    }

    fn kill_again(&mut self, now: Instant) -> Vec<Action> {
        let late = |instance: &Instance| match instance.state {
            State::Killing(since) => now.duration_since(since) > KILL_AGAIN_AFTER,
            State::Staging | State::Running | State::Unreachable(_) => false,
        };
        let late: Vec<_> = self.instances.values().filter(|instance| late(instance)).cloned().collect();
        late.iter().map(|instance| self.kill(instance, now)).collect()
    }

    /// Forgets whoever is lost for too long; should it come back, it is killed.
    fn expunge(&mut self, now: Instant) {
        let after = self.app.expunge_after();
        self.instances.retain(|_, instance| match instance.state {
            State::Unreachable(since) => now.duration_since(since) < after,
            State::Staging | State::Running | State::Killing(_) => true,
        });
    }

    fn takes(&self, offer: &Offer, now: Instant) -> bool {
        let is_taken = self.instances.values().any(|instance| instance.host == offer.host);
        let fits = offer.cpus >= self.app.cpus && offer.mem >= self.app.mem && offer.disk >= self.app.disk;
        let has_ports = offer.ports.len() >= self.app.port_definitions.len();
        !self.is_blocked(now) && fits && has_ports && !(self.app.is_unique() && is_taken)
    }

    fn launch(&mut self, offer: &Offer, now: Instant) -> Action {
        let name = self.app.id.trim_start_matches('/').replace('/', "_");
        let task_id = format!("{name}.instance-{}._app.1", super::unique());
        let instance = Instance {
            task_id: task_id.clone(),
            host: offer.host.clone(),
            agent_id: offer.agent_id.clone(),
            ports: offer.ports.iter().copied().take(self.app.port_definitions.len()).collect(),
            version: self.version,
            launched: now,
            state: State::Staging,
            is_healthy: false,
            is_ready: false,
        };
        self.instances.insert(task_id.clone(), instance);
        Action::Launch { offer_id: offer.id.clone(), task_id }
    }
}

const KILL_AGAIN_AFTER: Duration = Duration::from_secs(10);
