//! Chooses once and for ever what this installation is known by.

use super::Draft;
use crate::document;
use crate::session::Session;
use crate::state::entry::Fact;

/// Chooses it unless that was done: before the first launch, whose labels carry it.
///
/// The digits follow from the framework id of that moment, which nobody else has.
pub(super) fn choose(draft: &mut Draft<'_>, session: &Session) {
    let Some(framework) = draft.state.identity.framework.as_ref() else { return };
    if draft.state.identity.installation.is_some() {
        return;
    }
    let id: String = document::digest(framework.as_str()).to_string().chars().take(DIGITS).collect();
    let fact = Fact::InstallationChosen { id };
    if session.is_known_by_all(&fact) {
        draft.decide(fact);
    }
}

const DIGITS: usize = 8;
