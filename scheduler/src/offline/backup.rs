//! Writes a state to one file.

use std::path::Path;

use epic_common_io::backup::{self, Backup};

use super::refused;
use super::source::source;
use crate::failure::{Code, Failure};
use crate::journal::codec;

/// Reads a state directory, and writes what is in it to a new file.
///
/// # Errors
///
/// The directory can't be read, its journal has moved, or the file is there or can't be written.
pub(super) fn backup(dir: &Path, file: &Path) -> Result<String, Failure> {
    let held = source(dir)?;
    if let Some(url) = &held.state.identity.moved_to {
        let next = "a backup of it would be out of date; ask a scheduler there: epicctl admin backup FILE";
        return Err(refused(format!("the journal of {} was moved to {url}: {next}", dir.display())));
    }
    let index = held.state.index.0;
    let snapshot = codec::encode_snapshot(&held.state);
    let bytes = Backup { index, batch: held.batch, journal: held.journal, snapshot }.encode();
    backup::write_new(file, &bytes).map_err(|error| failure(&error))?;
    Ok(format!("{}: written, {} bytes, the state after entry {index}", file.display(), bytes.len()))
}

/// Tells a file that is of no use from a disk that is.
pub(super) fn failure(error: &backup::Error) -> Failure {
    let code = match error {
        backup::Error::Io { .. } => Code::Io,
        backup::Error::Exists { .. } => Code::Usage,
        backup::Error::Unusable { .. } => Code::Data,
    };
    Failure::new(code, error)
}
