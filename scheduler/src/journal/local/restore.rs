//! Puts a journal in place of the one in a state directory, which is set aside and never removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Tail, files, recovery, snapshot};
use crate::journal::disk::{self, failed};
use crate::journal::fence::Fence;
use crate::journal::{Error, Snapshot};

/// Makes a journal that begins with this snapshot, whose batch is at least 1; returns where the old one now is.
///
/// The caller holds the directory's lock. A crash leaves the old journal, the new one, or none with a fence that says
/// so: never a directory that looks new.
///
/// # Errors
/// The disk refuses; the old journal is then still there or set aside.
pub fn restore(state_dir: &Path, base: &Snapshot) -> Result<Option<PathBuf>, Error> {
    let (dir, new) = (state_dir.join("journal"), state_dir.join("journal.new"));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(failed("remove", &new))?;
    }
    disk::make_dir(&new)?;
    snapshot::write(&new, base.batch, &base.bytes)?;
    // Where appending goes on; without it what comes after the snapshot would count as lost.
    Tail::create(files::segment(&new, base.batch + 1), base.batch + 1)?;
    recovery::read(&new, base.batch)?;
    let aside = dir.exists().then(|| unused(state_dir)).transpose()?;
    if aside.is_some() && state_dir.join("fence").exists() {
        // With it the old journal is whole and could be put back.
        let fence = fs::read(state_dir.join("fence")).map_err(failed("read", &state_dir.join("fence")))?;
        disk::replace(&dir.join("fence"), [fence.as_slice()])?;
    }
    Fence::replace(state_dir, base.batch)?;
    if let Some(aside) = &aside {
        fs::rename(&dir, aside).map_err(failed("set aside", &dir))?;
    }
    fs::rename(&new, &dir).map_err(failed("rename into place", &dir))?;
    disk::sync_dir(state_dir)?;
    Ok(aside)
}

/// Finds a name for what is set aside.
fn unused(state_dir: &Path) -> Result<PathBuf, Error> {
    let names = (1..=SET_ASIDE_MAX).map(|number| state_dir.join(format!("journal.before-restore-{number}")));
    names.into_iter().find(|path| !path.exists()).ok_or_else(|| Error::SetAside { dir: state_dir.to_owned() })
}

const SET_ASIDE_MAX: u32 = 100;
