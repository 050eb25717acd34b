//! Why a bundle can't be made, read or installed.

use std::io;
use std::path::PathBuf;

use epic_common::ids::Digest;
use epic_common::invalid::Invalids;

/// Why a bundle can't be made, read or installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory can't be used.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, such as `open`.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not an EPIC bundle: it has no bundle trailer at its end; epicctl bundle build makes bundles", .0.display())]
    NotABundle(PathBuf),
    /// The file begins as a bundle and ends too early.
    #[error("{} is truncated: {found} bytes are there, {}; fetch or build it again", path.display(), needed(*expected))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that its trailer speaks of; `None` if the trailer itself is missing.
        expected: Option<u64>,
    },
    /// The trailer and the file, or the trailer and the payload, don't agree.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What doesn't agree.
        why: String,
    },
    /// A bundle of a later program.
    #[error("{} has bundle format {found}, only format 1 is supported: use a newer epicctl or rebuild the bundle", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number as it is written.
        found: String,
    },
    /// The bytes are not those that they should be.
    #[error("{} has a wrong {which}: expected {expected}, found {actual}; fetch or build it again", path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// `sha256 in its trailer` or `sha256`.
        which: &'static str,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The manifest says something wrong.
    #[error("cannot accept the manifest in {}", path.display())]
    Manifest {
        /// The bundle or the manifest file.
        path: PathBuf,
        /// All that is wrong.
        source: Invalids,
    },
    /// The payload can't be decompressed or isn't a tar archive.
    #[error("cannot read the payload of {}", path.display())]
    Payload {
        /// The bundle.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An entry of the payload may not be installed.
    #[error("{}: payload entry \"{entry}\" is refused: {why}", path.display())]
    Entry {
        /// The bundle or the source directory.
        path: PathBuf,
        /// The entry's path in the payload.
        entry: String,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// More than is allowed of something.
    #[error("{} is too large: {what}: more than {allowed}", path.display())]
    TooLarge {
        /// The bundle or the source directory.
        path: PathBuf,
        /// What there is too much of, with the amount where it is known.
        what: String,
        /// What is allowed, with its unit.
        allowed: String,
    },
    /// The file system is too full.
    #[error("cannot install into {}: it unpacks to {needed} bytes, and {free} bytes are free, of which {} must stay so",
        path.display(), super::RESERVE_BYTES)]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// What the payload unpacks to.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// Something else is where the bundle should be installed.
    #[error("cannot install into {}: something else is there; remove it or choose another directory", .0.display())]
    Occupied(PathBuf),
}

impl Error {
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

fn needed(expected: Option<u64>) -> String {
    expected.map_or_else(|| "its trailer is missing".to_owned(), |bytes| format!("its trailer speaks of {bytes}"))
}
