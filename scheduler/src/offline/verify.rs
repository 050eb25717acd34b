//! Reads everything that a state directory holds, and says what is damaged.

use std::path::Path;

use super::show::notes;
use super::source::source;
use crate::failure::Failure;
use crate::journal::local::Local;

/// Reads every byte of the journal, and folds it into a state that keeps all rules.
///
/// # Errors
///
/// What is damaged, with its file and place; or it can't be read.
pub(super) fn verify(dir: &Path) -> Result<String, Failure> {
    let held = source(dir)?;
    Local::check_snapshots(dir)?;
    let whole = format!(
        "{}: whole, up to entry {} in batch {}, with {} members and {} tasks",
        dir.display(),
        held.state.index.0,
        held.batch,
        held.state.units.all.len(),
        held.state.units.tasks.len()
    );
    Ok([vec![whole], notes(&held)].concat().join("\n"))
}
