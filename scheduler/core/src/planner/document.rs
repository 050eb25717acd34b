//! Keeps documents true: a new generation when the text changes, and nudges until executors have it.

use epic_common::conversation::Nudge;
use epic_common::time::Timestamp;

use super::{Draft, Plan};
use crate::document::{self, MEMBERS};
use crate::mesos::Call;
use crate::session::Session;
use crate::state::State;
use crate::state::entry::Fact;

pub(super) fn changes(draft: &mut Draft<'_>, session: &Session) {
    let touched = session.members_touched || !draft.plan.entries.is_empty();
    draft.plan.members_seen = true;
    let read = draft.state.platform().is_some_and(|desired| desired.roles.iter().any(|role| role.reads_members));
    if !touched || !read {
        return;
    }
    let Some(text) = document::members(&draft.state) else { return };
    let sha256 = document::digest(&text);
    let known = draft.state.documents.get(MEMBERS);
    if known.is_none_or(|mark| mark.sha256 != sha256) {
        // Executors take only what is newer; counted in time, it is newer also than what a journal knew that was
        // replaced by its copy.
        let generation = known.map_or(0, |mark| mark.generation + 1).max(draft.now.0);
        draft.decide(Fact::DocumentChanged { name: MEMBERS.to_owned(), generation, sha256 });
    }
}

pub(super) fn nudges(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    if session.nudges.next().is_none_or(|next| next > now) {
        return;
    }
    let Some(document) = document::current(state) else {
        // Once there is one, all are due.
        return plan.informed.extend(session.nudges.due(now).cloned());
    };
    for id in session.nudges.due(now) {
        let behind = state.units.tasks.get(id).filter(|task| document::is_behind(state, task));
        match behind {
            None => plan.informed.push(id.clone()),
            Some(task) => plan.calls.push(Call::Message {
                agent: task.agent.clone(),
                executor: task.executor.id.clone(),
                nudge: Nudge::Document { instance: id.unit.clone(), document: document.clone() },
            }),
        }
    }
}
