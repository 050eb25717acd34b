//! Putting a copy out of the way, so that the replica follows the journal that is in ZooKeeper, whichever it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::fence::Fence;
use super::{NAME, disk};
use epic_scheduler_core::replica::At;

/// Tells whether a state directory has a store, or had one that is gone.
pub(crate) fn is_there(state_dir: &Path) -> bool {
    state_dir.join(NAME).exists() || Fence::beside(state_dir).path().exists()
}

/// Says what was durable in the store of a state directory; `None` if there was none, or the fence can't be read.
pub(crate) fn once_held(state_dir: &Path) -> Option<At> {
    Fence::beside(state_dir).read().ok().flatten()
}

/// Sets the store of a state directory aside with its fence, and returns its new name.
///
/// The state directory must be locked by whoever calls.
///
/// # Errors
/// There is no store, so many were set aside that no name is left, or the disk fails.
pub fn forget(state_dir: &Path) -> Result<PathBuf, Error> {
    let (store, fence) = (state_dir.join(NAME), Fence::beside(state_dir).path().to_owned());
    if !is_there(state_dir) {
        return Err(Error::Missing { path: store });
    }
    let names = (1..=SET_ASIDE_MAX).map(|number| state_dir.join(format!("{NAME}.forgotten-{number}")));
    let aside = names.into_iter().find(|path| !path.exists());
    let full = || io::Error::other("too many were set aside before; remove some of them");
    let aside = aside.ok_or_else(|| Error::io("set aside", &store)(full()))?;
    // The fence last: without a store it tells that one is gone, which the next start mends.
    if store.exists() {
        fs::rename(&store, &aside).map_err(Error::io("set aside", &store))?;
    } else {
        fs::create_dir(&aside).map_err(Error::io("make", &aside))?;
    }
    if fence.exists() {
        fs::rename(&fence, aside.join("fence")).map_err(Error::io("set aside", &fence))?;
    }
    disk::sync_dir(state_dir)?;
    Ok(aside)
}

const SET_ASIDE_MAX: u32 = 100;
