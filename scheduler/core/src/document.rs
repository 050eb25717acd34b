//! Documents: texts that follow from the state and that services read.

use std::collections::BTreeMap;

use epic_common::conversation::{DOCUMENT_BYTES_MAX, DocumentText};
use epic_common::ids::Digest;
use sha2::{Digest as _, Sha256};

use crate::state::State;
use crate::state::unit::Task;

/// The name of the document that lists every member.
pub const MEMBERS: &str = "members";

/// Renders `members`: by role, each member that has a place, with its host and ports.
///
/// Every role that was applied is there, if only with an empty list: templates may take that for granted.
/// The text is JSON with sorted keys, so that equal states have equal texts. Members that have been given up are left
/// out. `None` if it would have more than 64 KiB.
#[must_use]
pub fn members(state: &State) -> Option<String> {
    let applied = state.platform().into_iter().flat_map(|desired| &desired.roles);
    let mut roles: BTreeMap<&str, Vec<serde_json::Value>> =
        applied.map(|role| (role.id.as_str(), Vec::new())).collect();
    for (id, unit) in &state.units.all {
        let Some(task) = unit.live.as_ref().and_then(|task| state.units.tasks.get(task)) else { continue };
        roles.entry(id.role.as_str()).or_default().push(serde_json::json!({
            "id": id.to_string(),
            "host": task.hostname,
            "ports": task.grant.ports,
        }));
    }
    let text = serde_json::to_string(&roles).ok()?;
    (text.len() <= DOCUMENT_BYTES_MAX).then_some(text)
}

/// Returns a text's digest.
#[must_use]
pub fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

/// Returns the newest `members`, if the journal has one and the state still renders to it.
#[must_use]
pub fn current(state: &State) -> Option<DocumentText> {
    let mark = state.documents.get(MEMBERS)?;
    let json = members(state)?;
    (digest(&json) == mark.sha256).then(|| DocumentText { name: MEMBERS.to_owned(), generation: mark.generation, json })
}

/// Tells whether an attempt's executor has it, reads the document and hasn't said that it has the newest generation.
pub(crate) fn is_behind(state: &State, task: &Task) -> bool {
    let generation = state.documents.get(MEMBERS).map_or(0, |mark| mark.generation);
    let needs = || state.deployments.get(&task.id.unit.deployment)?.role(&task.id.unit.role);
    task.report.documents.get(MEMBERS).copied().unwrap_or(0) < generation
        && task.kill.is_none()
        && task.is_with_executor()
        && needs().is_some_and(|needs| needs.reads_members)
}
