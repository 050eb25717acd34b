//! Files that options name: what is read of them, and why one can't be used.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A file, and the option that names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionFile<'a> {
    pub(crate) option: &'static str,
    pub(crate) path: &'a Path,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("cannot read {option} {}", path.display())]
    Unreadable {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It doesn't hold what it should.
    #[error("{option} {} can't be used: it must hold {expected}", path.display())]
    Content {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong, if more is known.
        source: Option<Flaw>,
    },
}

/// What somebody else says of a file's content.
pub type Flaw = Box<dyn std::error::Error + Send + Sync>;

impl OptionFile<'_> {
    /// Reads all of it, of at most so many bytes.
    pub(crate) fn bytes(self, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = File::open(self.path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
        match read.map_err(|source| self.unreadable(source))? {
            read if read as u64 > bytes_max => Err(self.unreadable(io::ErrorKind::FileTooLarge.into())),
            _ => Ok(bytes),
        }
    }

    /// As [`bytes`](Self::bytes), of text.
    pub(crate) fn text(self, bytes_max: u64) -> Result<String, Error> {
        let text = String::from_utf8(self.bytes(bytes_max)?);
        // The bytes themselves may be a secret.
        text.map_err(|_| self.unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is not text")))
    }

    /// Says that it holds something else, with a cause if there is one.
    pub(crate) fn must_hold(self, expected: &'static str, source: Option<Flaw>) -> Error {
        Error::Content { option: self.option, path: self.path.to_owned(), expected, source }
    }

    fn unreadable(self, source: io::Error) -> Error {
        Error::Unreadable { option: self.option, path: self.path.to_owned(), source }
    }
}
