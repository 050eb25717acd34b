//! Why a store can't be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal;

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be used.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, such as `read`.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file or directory can't be made durable.
    #[error(transparent)]
    Disk(#[from] journal::Error),
    /// A batch doesn't come next.
    #[error("the store {} ends with batch {last}, so that batch {batch} can't be appended", path.display())]
    Gap {
        /// The store's directory.
        path: PathBuf,
        /// The last batch in it, 0 if there is none.
        last: u64,
        /// What was to be appended.
        batch: u64,
    },
    /// What is there isn't what was written.
    #[error("the store {} is damaged: {flaw}", path.display())]
    Damaged {
        /// The store's directory.
        path: PathBuf,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The disk has too little room for a store that may double while its base is rewritten.
    #[error("the disk of {} has {free} bytes free, {needed} are needed for the store; free some space, it mends itself then", path.display())]
    Room {
        /// The state directory.
        path: PathBuf,
        /// What is free.
        free: u64,
        /// What must be.
        needed: u64,
    },
    /// The engine can't be trusted any more in this process.
    #[error("a thread of the engine of the store {} has panicked; restart this replica when convenient, nothing is lost", path.display())]
    Panicked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The child that looks at a store can't be started or heard.
    #[error("cannot check the store {}", path.display())]
    Check {
        /// The store's directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The child found that the store can't be opened now, whatever is in it.
    #[error("cannot use the store {}: {why}", path.display())]
    Unusable {
        /// The store's directory.
        path: PathBuf,
        /// What it said.
        why: String,
    },
    /// There is no store to read.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// The store's directory.
        path: PathBuf,
    },
    /// A running replica has it.
    #[error("the store {} is in use; stop the replica first, or ask it with epicctl", path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
    },
}

/// What is wrong with a store's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A value was cut short.
    #[error("the value of {key} is too short")]
    Short {
        /// Its key, readable.
        key: String,
    },
    /// A later program wrote it, or nobody did.
    #[error("the value of {key} has format {found}")]
    Format {
        /// Its key, readable.
        key: String,
        /// What it says.
        found: u8,
    },
    /// A value isn't what was written under its key.
    #[error("the value of {key} has a wrong checksum")]
    Checksum {
        /// Its key, readable.
        key: String,
    },
    /// The account of all that is there can't be read.
    #[error("its account can't be read: {0}")]
    Account(String),
    /// A key that nobody wrote.
    #[error("{key} is no key of a store")]
    Key {
        /// The key, readable.
        key: String,
    },
    /// There are fewer or more values than were written, or others.
    #[error("it has {found} values with checksum {found_sum:08x}, its account says {values} with {sum:08x}")]
    Values {
        /// What is there.
        found: u64,
        /// The sum of what is there.
        found_sum: u32,
        /// What was written.
        values: u64,
        /// The sum of what was written.
        sum: u32,
    },
    /// The pieces don't make a whole.
    #[error("{what} is not whole")]
    Pieces {
        /// Of what.
        what: String,
    },
    /// It once held more.
    #[error("it holds batch {batch} of journal \"{journal}\", the fence beside it says batch {fence} of \"{of}\"")]
    Behind {
        /// Its last batch, 0 if it is empty.
        batch: u64,
        /// Of which journal, empty if it is empty.
        journal: String,
        /// What the fence says was durable.
        fence: u64,
        /// Of which journal.
        of: String,
    },
    /// Whoever looked at it died, or never came back.
    #[error("the check of it {0}")]
    Check(String),
}

impl Error {
    /// Makes the error of a failed operation on a path.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// Tells whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        const FULL: [io::ErrorKind; 3] =
            [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
        match self {
            Self::Room { .. } => true,
            Self::Io { source, .. } | Self::Disk(journal::Error::Io { source, .. }) => {
                FULL.contains(&source.kind()) || says_full(&source.to_string())
            }
            Self::Unusable { why, .. } => says_full(why),
            Self::Disk(_)
            | Self::Gap { .. }
            | Self::Damaged { .. }
            | Self::Panicked { .. }
            | Self::Check { .. }
            | Self::Missing { .. }
            | Self::InUse { .. } => false,
        }
    }
}

/// The engine rewrites some errors and keeps only their texts.
fn says_full(text: &str) -> bool {
    ["No space left on device", "File too large", "Disk quota exceeded"].iter().any(|full| text.contains(full))
}
