//! Gives up attempts whose agent has been unreachable for too long.

use epic_common::ids::TaskId;

use super::Draft;
use crate::policy::Policy;
use crate::state::entry::Fact;

pub(super) fn step(draft: &mut Draft<'_>, policy: &Policy) {
    let units = &draft.state.units;
    let long = units.unreachable.iter().take_while(|(since, _)| *since + policy.unreachable_after <= draft.now);
    let is_wanted = |task: &&TaskId| units.all.get(&task.unit).is_some_and(|unit| unit.wanted);
    let overdue: Vec<_> = long.map(|(_, task)| task).filter(is_wanted).cloned().collect();
    for task in overdue {
        if !draft.has_room() {
            break;
        }
        draft.decide(Fact::ReplacementDecided { task });
    }
}
