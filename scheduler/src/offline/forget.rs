//! Lets a replica forget which journal it has followed.

use std::path::Path;

use super::refused;
use super::source::source;
use crate::failure::{Code, Failure};
use crate::journal::local;
use crate::store;

/// Sets the copy of a journal aside.
///
/// # Errors
///
/// A replica runs on it, there is no copy, or `--yes` is missing.
pub(super) fn forget(dir: &Path, yes: bool) -> Result<String, Failure> {
    let shown = dir.display();
    if !yes {
        let what = match source(dir) {
            Ok(held) => format!("the copy of journal {}, up to entry {}", held.journal, held.state.index.0),
            Err(failure) => format!("the copy ({})", failure.text),
        };
        return Err(refused(format!("{shown}: {what} would be set aside; nothing was done, repeat it with --yes")));
    }
    let _lock = local::lock(dir)?;
    let aside = store::forget::forget(dir).map_err(|error| Failure::new(Code::Io, &error))?;
    Ok(format!("{shown}: the next start follows whichever journal --zk names; the copy is now {}", aside.display()))
}
