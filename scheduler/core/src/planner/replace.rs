//! Gives up attempts whose agent has been unreachable for too long.

use super::Draft;
use crate::policy::Policy;
use crate::state::entry::Fact;
use crate::state::task::Progress;

pub(super) fn step(draft: &mut Draft<'_>, policy: &Policy) {
    let mut overdue = Vec::new();
    for task in draft.state.unreachable.iter().filter_map(|id| draft.state.tasks.get(id)) {
        let Progress::Unreachable(since) = task.progress else { continue };
        let wanted = draft.state.instances.get(&task.id.instance).is_some_and(|instance| instance.wanted);
        if wanted && since + policy.unreachable_after <= draft.now {
            overdue.push(task.id.clone());
        }
    }
    for task in overdue {
        if !draft.has_room() {
            break;
        }
        draft.decide(Fact::ReplacementDecided { task });
    }
}
