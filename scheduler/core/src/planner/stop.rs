//! Ends attempts that nobody wants, and repeats each kill until it is heard.

use epic_common::ids::TaskId;
use epic_common::time::Timestamp;

use super::{Draft, Plan};
use crate::mesos::Call;
use crate::session::Session;
use crate::state::State;
use crate::state::deployment::Run;
use crate::state::entry::Fact;
use crate::state::unit::Progress;

pub(super) fn step(draft: &mut Draft<'_>) {
    let why = match draft.state.run() {
        Run::Running => "fewer members are wanted",
        Run::Stopped => "the platform was stopped",
        Run::Uninstalling => "the platform is being uninstalled",
    };
    let surplus: Vec<_> = draft.state.units.surplus.iter().cloned().collect();
    for id in surplus {
        if !draft.has_room() {
            break;
        }
        if let Some(task) = draft.state.units.all.get(&id).and_then(|unit| unit.live.clone()) {
            draft.decide(Fact::KillDecided { task, why: why.to_owned(), key: None });
        }
    }
}

/// Kills are paced by the session's timers and end with the task's end.
pub(super) fn kills(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    for text in session.kills.due(now) {
        let known = text.parse().ok().and_then(|id: TaskId| state.units.tasks.get(&id));
        let agent = match (known, state.strangers.get(text)) {
            // A launch that nobody has answered can't be killed yet; the question about it decides.
            (Some(task), _) if matches!(task.progress, Progress::Launching { .. }) => continue,
            (Some(task), _) => task.agent.clone(),
            (None, Some(stranger)) => stranger.agent.clone(),
            (None, None) => continue,
        };
        plan.calls.push(Call::Kill { task: text.clone(), agent });
    }
}
