//! Why a journal can't be opened or written.

use std::io;
use std::path::PathBuf;

use super::local::Flaw;

/// What is wrong with the journal, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the directory's lock.
    #[error(
        "state directory {} is in use by {}; stop that process, or choose another directory with --state-dir",
        dir.display(), pid.map_or_else(|| "another process".to_owned(), |pid| format!("pid {pid}"))
    )]
    InUse {
        /// The state directory.
        dir: PathBuf,
        /// What the lock file says about its holder, if that is a number.
        pid: Option<u32>,
    },
    /// A file or device stands where the state directory should be.
    #[error("state directory {} is not a directory; choose another with --state-dir", dir.display())]
    NotADirectory {
        /// The state directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {operation} {}{}", path.display(), advice(source))]
    Io {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A later program wrote the file.
    #[error(
        "{} has format {found}, but this program knows only formats up to {known}; start the program that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format in its header.
        found: u32,
        /// The latest format that this program knows.
        known: u32,
    },
    /// Bytes that once were durable have changed.
    #[error(
        "{} is damaged at byte {offset}, in batch {batch}: {flaw}; restore the state directory from a backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file the damaged record starts.
        offset: u64,
        /// The number of the batch that should be there.
        batch: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A segment isn't there.
    #[error(
        "journal {} lacks batch {expected}: what is left goes on at batch {found}; restore the state directory from a backup",
        dir.display()
    )]
    Gap {
        /// The directory of the segments.
        dir: PathBuf,
        /// The batch that should come next.
        expected: u64,
        /// The batch that comes instead.
        found: u64,
    },
    /// The journal is shorter than it was, or empty.
    #[error(
        "journal {} ends at batch {last}, but batch {durable} was durable{}; restore the state directory from a backup, or choose another with --state-dir",
        dir.display(), if *last == 0 { ": the journal is gone, and starting anew would abandon what runs" } else { "" }
    )]
    Behind {
        /// The directory of the segments.
        dir: PathBuf,
        /// The last batch that is there.
        last: u64,
        /// The highest batch that is known to have been durable, by the fence file or a snapshot's name.
        durable: u64,
    },
    /// The fence file isn't there, or isn't what was written.
    #[error(
        "fence file {} {what}, so nothing tells whether the journal is whole; restore the state directory from a backup",
        path.display()
    )]
    Fence {
        /// The fence file.
        path: PathBuf,
        /// What is wrong with it, as a verb phrase.
        what: &'static str,
    },
    /// Too many journals were replaced.
    #[error(
        "state directory {} holds too many journals that were set aside; remove those of journal.before-restore-* that nobody needs",
        dir.display()
    )]
    SetAside {
        /// The state directory.
        dir: PathBuf,
    },
    /// A batch is too large.
    #[error("batch {batch} has {bytes} bytes, but at most {bytes_max} are allowed")]
    TooLarge {
        /// The batch's number.
        batch: u64,
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A batch comes out of order.
    #[error("batch {batch} cannot follow batch {position}")]
    NotNext {
        /// The number that was given.
        batch: u64,
        /// The number of the last durable batch.
        position: u64,
    },
    /// A snapshot comes out of order.
    #[error(
        "cannot take a snapshot at batch {batch}: it must be after batch {previous} and at most at batch {position}"
    )]
    NotASnapshot {
        /// The number that was given.
        batch: u64,
        /// The last snapshot's number, 0 before the first.
        previous: u64,
        /// The number of the last durable batch.
        position: u64,
    },
    /// An append failed on the disk: whether the batch is durable shows only when the journal is opened again.
    #[error("cannot append batch {batch}; the journal takes nothing more until it is opened again")]
    Append {
        /// The batch's number.
        batch: u64,
        /// What failed.
        source: Box<Self>,
    },
    /// An earlier append failed.
    #[error("the journal takes nothing more since it failed to append batch {batch}; open it again")]
    Failed {
        /// The number of the batch that failed.
        batch: u64,
    },
}

/// What an operator can do about a refusal.
fn advice(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::StorageFull || source.kind() == io::ErrorKind::QuotaExceeded {
        return "; the disk is full: free some space and start again, nothing that was durable is lost";
    }
    if source.kind() == io::ErrorKind::PermissionDenied || source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        return "; the state directory must be writable by this user";
    }
    ""
}
