//! Gives up attempts whose agent has been unreachable for too long.

use super::Draft;
use crate::policy::Policy;
use crate::state::entry::Fact;
use crate::state::unit::Progress;

pub(super) fn step(draft: &mut Draft<'_>, policy: &Policy) {
    let mut overdue = Vec::new();
    for task in draft.state.units.unreachable.iter().filter_map(|id| draft.state.units.tasks.get(id)) {
        let Progress::Unreachable(since) = task.progress else { continue };
        let wanted = draft.state.units.all.get(&task.id.unit).is_some_and(|unit| unit.wanted);
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
