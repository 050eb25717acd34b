//! What must hold of everything the scheduler ever did, over all its lives.

use std::collections::BTreeSet;

use epic_common::ids::{FrameworkId, TaskId, UpdateId};
use epic_scheduler_core::director::Output;
use epic_scheduler_core::mesos::{Call, Launch, Meaning, StreamId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::Run;
use epic_scheduler_core::state::entry::{Entry, Fact};
use epic_scheduler_core::state::unit::Progress;

use super::Mesos;

/// Everything that matters of what was committed and done.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    decided: BTreeSet<(FrameworkId, TaskId)>,
    accepted: BTreeSet<(FrameworkId, TaskId)>,
    recorded: BTreeSet<UpdateId>,
    over: BTreeSet<String>,
    strangers: BTreeSet<String>,
}

impl History {
    /// Notes a durable entry.
    ///
    /// # Panics
    ///
    /// If an attempt is decided twice.
    pub(super) fn committed(&mut self, state: &State, entry: &Entry) {
        match &entry.fact {
            Fact::LaunchDecided(decided) => self.launched(state, &decided.task),
            Fact::UnitLaunched(launched) => self.launched(state, &launched.task),
            Fact::StatusRecorded(status) => {
                self.recorded.extend(status.uuid);
                if status.state.meaning() == Meaning::Ended {
                    self.over.insert(status.task.to_string());
                }
            }
            Fact::StrangerSeen { task, .. } => {
                self.strangers.insert(task.clone());
            }
            Fact::FrameworkChosen { .. }
            | Fact::TokenSet { .. }
            | Fact::PlatformApplied { .. }
            | Fact::PlatformStopped { .. }
            | Fact::PlatformStarted { .. }
            | Fact::UninstallBegun { .. }
            | Fact::FrameworkReplaced { .. }
            | Fact::Uninstalled
            | Fact::InstallationChosen { .. }
            | Fact::KillDecided { .. }
            | Fact::ReplacementDecided { .. }
            | Fact::ReservationSeen { .. }
            | Fact::DocumentChanged { .. } => {}
            Fact::LeaderClaimed { epoch, .. } => assert!(*epoch > state.epoch(), "epoch {epoch} is claimed too late"),
            Fact::Barrier { epoch } => assert_eq!(*epoch, state.epoch(), "a barrier of a leader that was deposed"),
            Fact::MovedTo { .. } => panic!("no scheduler ends a journal"),
        }
    }

    /// Checks what the scheduler is about to do against what is durable.
    ///
    /// # Panics
    ///
    /// If it isn't backed by that.
    pub(super) fn output(&mut self, output: &Output, durable: &State, stream: Option<&StreamId>, mesos: &Mesos) {
        match output {
            Output::Propose(index, entries) => {
                assert_eq!(*index, durable.index.next(), "a batch doesn't follow the last one");
                assert!(!entries.is_empty(), "an empty batch");
            }
            Output::Subscribe(subscribe) => {
                assert_eq!(
                    Some(&subscribe.framework),
                    durable.identity.framework.as_ref(),
                    "it subscribes with an id that isn't durable"
                );
            }
            Output::Call(_, call) => self.call(call, durable, stream, mesos),
            Output::Unsubscribe(_)
            | Output::Answer(..)
            | Output::Publish(_)
            | Output::Unwritable(_)
            | Output::Halt(_) => {}
        }
    }

    fn call(&mut self, call: &Call, durable: &State, stream: Option<&StreamId>, mesos: &Mesos) {
        let stream = stream.expect("calls need a subscription");
        match call {
            Call::Accept { launches, .. } => {
                for launch in launches {
                    self.accept(launch, call, durable, stream);
                }
            }
            Call::Kill { task, .. } => {
                let known = task.parse().ok().and_then(|id: TaskId| durable.units.tasks.get(&id));
                let backed = known.is_some_and(|task| task.kill.is_some()) || durable.strangers.contains_key(task);
                assert!(backed, "{task} is killed and nobody decided it");
            }
            Call::Acknowledge { task, uuid, .. } => {
                let durable = self.recorded.contains(uuid) || self.over.contains(task) || self.strangers.contains(task);
                assert!(durable, "an update of {task} is acknowledged and isn't durable: {call:?}");
            }
            Call::Teardown => {
                assert_eq!(durable.run(), Run::Uninstalling, "a teardown that nobody decided");
                assert!(durable.is_empty_of_tasks(), "a teardown while attempts may live");
                let mut unheard = mesos.tasks().filter(|(agent, _, task)| agent.is_up() && !task.is_quiet());
                // Whose end is durable may have been heard by a scheduler that died before it said so.
                let unknown = unheard.find(|(_, name, _)| !self.over.contains(*name));
                assert!(unknown.is_none(), "a teardown before the last update is durable: {unknown:?}");
            }
            Call::Reconcile { tasks } => assert!(!tasks.is_empty(), "reconciliation without names"),
            Call::Decline { offers, .. } => assert!(!offers.is_empty(), "nothing is declined"),
            Call::ReconcileAll | Call::Revive | Call::Suppress | Call::Message { .. } => {}
        }
    }

    fn launched(&mut self, state: &State, task: &TaskId) {
        let framework = state.identity.framework.clone().expect("a launch has a framework");
        assert!(self.decided.insert((framework, task.clone())), "{task} was decided twice");
    }

    fn accept(&mut self, launch: &Launch, call: &Call, durable: &State, stream: &StreamId) {
        let Call::Accept { offers, agent, .. } = call else { return };
        let id = &launch.order.task;
        let task = durable.units.tasks.get(id).expect("an ACCEPT is backed by a durable attempt");
        let at = Progress::Launching { offers: offers.clone(), stream: stream.clone() };
        assert_eq!(task.progress, at, "{id} is launched on another offer or stream than was decided");
        assert_eq!(task.agent, *agent);
        assert!(task.kill.is_none(), "{id} is launched and is to end");
        let framework = durable.identity.framework.clone().expect("an ACCEPT has a framework");
        assert!(self.accepted.insert((framework, id.clone())), "{id} is accepted twice");
    }

    /// Checks what runs against what is durable.
    ///
    /// # Panics
    ///
    /// If two attempts of one member run and both count, or one runs of which nobody knows any more.
    pub(super) fn running(&self, durable: &State, mesos: &Mesos) {
        let mut counted = BTreeSet::new();
        for (_, name, task) in mesos.tasks().filter(|(_, _, task)| task.is_alive()) {
            let Ok(id) = name.parse::<TaskId>() else { continue };
            let ours = durable.identity.framework.as_ref() == Some(&task.framework)
                && self.decided.contains(&(task.framework.clone(), id.clone()));
            if !ours || durable.strangers.contains_key(name) {
                continue;
            }
            let known = durable.units.tasks.get(&id);
            assert!(known.is_some(), "{name} runs and its end is durable");
            if known.is_some_and(|known| !known.given_up) {
                assert!(counted.insert(id.unit.clone()), "two attempts of {} run and count", id.unit);
            }
        }
    }
}
