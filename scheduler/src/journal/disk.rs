//! File operations that survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// Makes the error of a failed operation on a path.
pub(super) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { operation, path: path.to_owned(), source }
}

/// Makes a directory that only its owner may enter, unless it is there.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create directory", path))?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync directory", path))
}

/// Makes a new file for its owner alone; one of the same name is emptied.
pub(super) fn create(path: &Path) -> Result<File, Error> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed("create", path))
}

/// Puts a file of these parts in place of `path`, so that after a power cut either all or nothing of it is there.
pub(crate) fn replace<'a>(path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Error> {
    let temporary = temporary(path);
    let written = write_all(&temporary, parts);
    if written.is_err() {
        // Space is what may be short; what is left is removed at the next opening otherwise.
        let _removed = fs::remove_file(&temporary);
        return written;
    }
    fs::rename(&temporary, path).map_err(failed("rename into place", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Says whether a name is that of a file which [`replace`] didn't finish.
pub(super) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY)
}

fn write_all<'a>(path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Error> {
    let mut file = create(path)?;
    for part in parts {
        file.write_all(part).map_err(failed("write", path))?;
    }
    file.sync_all().map_err(failed("sync", path))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

const TEMPORARY: &str = ".tmp";
