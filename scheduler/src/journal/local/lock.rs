//! One process per state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::journal::Error;
use crate::journal::disk::failed;

/// A state directory's lock; it ends when this is dropped, or with the process, however that ends.
///
/// It is `flock`'s, and is let go by name: a process that is being started meanwhile has a copy of the file for a moment,
/// and would hold it until then.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The end of the file's last copy does it otherwise.
        self.0.unlock().ok();
    }
}

/// Takes the directory's lock, and leaves our pid in it, which is for people.
pub(super) fn take(state_dir: &Path) -> Result<Lock, Error> {
    let path = state_dir.join(NAME);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::InUse { dir: state_dir.to_owned(), pid: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
    }
    let mut lock = Lock(file);
    let written = lock.0.set_len(0).and_then(|()| writeln!(lock.0, "{}", std::process::id()));
    written.map_err(failed("write", &path))?;
    Ok(lock)
}

/// Fails if another process holds the lock; takes nothing and writes nothing.
pub(super) fn check(state_dir: &Path) -> Result<(), Error> {
    let path = state_dir.join(NAME);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {
            drop(Lock(file));
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: state_dir.to_owned(), pid: holder(&mut file) }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const NAME: &str = "lock";
const PID_BYTES_MAX: u64 = 16;
