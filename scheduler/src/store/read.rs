//! Reads a store offline, for tools: nothing in the state directory is changed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::examine::{Checker, Verdict};
use super::fence::Fence;
use super::held::Held;
use super::{Error, NAME, sled};

/// Reads the store of a state directory; `None` if it is empty.
///
/// The engine can't open a store without writing to it, so a copy is opened, in the system's directory for temporary
/// files, by a child process; and it is removed.
///
/// # Errors
/// There is no store, a replica has it, it is damaged, or a file can't be used.
pub fn read(state_dir: &Path, checker: &Checker) -> Result<Option<Held>, Error> {
    let dir = state_dir.join(NAME);
    let path = dir.join(sled::FILE);
    if !path.is_file() {
        return Err(Error::Missing { path: dir });
    }
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock_shared() {
            Ok(()) => break,
            // The engine lets go a moment after it was closed.
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::park_timeout(PATIENCE / 50),
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: dir }),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
    }
    let copy = Copied::of(&dir)?;
    let verdict = checker.examine(&copy.0)?;
    let damaged = |flaw| Error::Damaged { path: dir.clone(), flaw };
    match verdict {
        Verdict::Whole(held) => match Fence::beside(state_dir).check(held.as_ref())? {
            None => Ok(held),
            Some(flaw) => Err(damaged(flaw)),
        },
        Verdict::Damaged(flaw) => Err(damaged(flaw)),
        Verdict::Unusable(why) => Err(Error::Unusable { path: dir, why }),
    }
}

/// A copy of a directory of files, removed when it is dropped.
struct Copied(PathBuf);

impl Copied {
    fn of(dir: &Path) -> Result<Self, Error> {
        let to = std::env::temp_dir().join(format!("epic-store-{}", Uuid::new_v4().simple()));
        crate::journal::disk::make_dir(&to)?;
        let copied = Self(to);
        for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let entry = entry.map_err(Error::io("list", dir))?;
            let from = entry.path();
            if from.is_file() {
                fs::copy(&from, copied.0.join(entry.file_name())).map_err(Error::io("copy", &from))?;
            }
        }
        Ok(copied)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What can't be removed is the system's to clean.
        fs::remove_dir_all(&self.0).ok();
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
