//! A backup of the scheduler's state: one file, whose checksum covers every byte of it.
//!
//! Format 1, numbers little-endian: `epicbkup`, the format (u32), the index (u64), the batch (u64), the length of the
//! journal's id (u16) and the id, the length of the snapshot (u64) and the snapshot, the sha256 of all that.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// The state as it was at one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The last entry in it.
    pub index: u64,
    /// The last batch in it, 0 if whoever made it didn't know.
    pub batch: u64,
    /// What tells its journal in `ZooKeeper` from others, at most [`JOURNAL_BYTES_MAX`] bytes; empty for a local journal.
    pub journal: String,
    /// The state's bytes, as the journal's snapshots have them.
    pub snapshot: Vec<u8>,
}

/// Why a file can't be written, or isn't a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The file or its folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of this name is there.
    #[error("{} is there already, and a backup overwrites nothing; choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It can't be restored.
    #[error("{} cannot be used as a backup: {flaw}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// What is wrong with a backup's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// They don't begin as a backup does.
    #[error("it does not begin as a backup does")]
    Magic,
    /// A later program wrote them.
    #[error(
        "it has format {0}, but this program knows only formats up to {FORMAT}; use the program that wrote it, or a later one"
    )]
    Newer(u32),
    /// There are too few or too many.
    #[error("it is cut off, or something was added to it")]
    Length,
    /// Some have changed.
    #[error("its sha256 is wrong, so that some of it has changed")]
    Checksum,
    /// The journal's id is no text.
    #[error("the name of its journal cannot be read")]
    Journal,
}

impl Backup {
    /// Writes it as bytes.
    ///
    /// # Panics
    ///
    /// If the journal's id is over its bound.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let id = self.journal.as_bytes();
        assert!(id.len() <= JOURNAL_BYTES_MAX, "a journal's id of {} bytes is over the bound", id.len());
        let id_length = u16::try_from(id.len()).expect("the bound is far below 64 KiB");
        let mut bytes = Vec::with_capacity(FRAME_BYTES + id.len() + self.snapshot.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&self.batch.to_le_bytes());
        bytes.extend_from_slice(&id_length.to_le_bytes());
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&(self.snapshot.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&self.snapshot);
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; the snapshot's own bytes are the caller's to read.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Flaw::Magic)?;
        let (format, rest) = take(rest)?;
        let format = u32::from_le_bytes(format);
        if format == 0 || format > FORMAT {
            return Err(Flaw::Newer(format));
        }
        let (index, rest) = take(rest)?;
        let (batch, rest) = take(rest)?;
        let (length, rest) = take(rest)?;
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(length))).ok_or(Flaw::Length)?;
        let (length, rest) = take(rest)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| Flaw::Length)?;
        let (snapshot, sum) = rest.split_at_checked(length).ok_or(Flaw::Length)?;
        if sum.len() != SUM_BYTES {
            return Err(Flaw::Length);
        }
        if *sum != *Sha256::digest(&bytes[..bytes.len() - SUM_BYTES]) {
            return Err(Flaw::Checksum);
        }
        let journal = String::from_utf8(id.to_vec()).ok().filter(|id| id.len() <= JOURNAL_BYTES_MAX);
        Ok(Self {
            index: u64::from_le_bytes(index),
            batch: u64::from_le_bytes(batch),
            journal: journal.ok_or(Flaw::Journal)?,
            snapshot: snapshot.to_vec(),
        })
    }
}

/// Makes a file of these bytes for its owner alone, so that a crash leaves either all of it or nothing of that name.
///
/// # Errors
///
/// [`Error::Exists`], and the disk's refusals.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if path.exists() {
        return Err(Error::Exists { path: path.to_owned() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::with_prefix_in(".epic-backup-", folder).map_err(failed("write into", folder))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed("write", path))?;
    file.persist_noclobber(path).map_err(|refused| {
        let is_there = refused.error.kind() == io::ErrorKind::AlreadyExists;
        if is_there { Error::Exists { path: path.to_owned() } } else { failed("make", path)(refused.error) }
    })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

/// Reads and checks a file of at most [`BYTES_MAX`].
///
/// # Errors
///
/// It can't be read, or is no whole backup.
pub fn read(path: &Path) -> Result<Backup, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    let unusable = |flaw| Error::Unusable { path: path.to_owned(), flaw };
    if bytes.len() as u64 > BYTES_MAX {
        return Err(unusable(Flaw::Length));
    }
    Backup::decode(&bytes).map_err(unusable)
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Flaw> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest)).ok_or(Flaw::Length)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { operation, path: path.to_owned(), source }
}

/// A backup isn't longer than this: 1 GiB.
pub const BYTES_MAX: u64 = 1 << 30;
/// A journal's id isn't longer than this.
pub const JOURNAL_BYTES_MAX: usize = 64;
const MAGIC: &[u8; 8] = b"epicbkup";
const FORMAT: u32 = 1;
const SUM_BYTES: usize = 32;
/// All but the id and the snapshot.
const FRAME_BYTES: usize = 8 + 4 + 8 + 8 + 2 + 8 + SUM_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Backup {
        Backup { index: 41, batch: 7, journal: "a-journal".to_owned(), snapshot: b"the state".to_vec() }
    }

    #[test]
    fn what_is_written_is_read_and_the_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        write_new(&path, &sample().encode()).unwrap();
        assert_eq!(read(&path).unwrap(), sample());
        let refused = write_new(&path, b"another").unwrap_err();
        assert!(matches!(refused, Error::Exists { .. }), "{refused}");
        assert_eq!(read(&path).unwrap(), sample());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let refused = read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(refused.starts_with("cannot open "), "{refused}");
    }

    #[test]
    fn every_changed_missing_or_added_byte_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            Backup::decode(&changed).unwrap_err();
            Backup::decode(&bytes[..at]).unwrap_err();
        }
        assert_eq!(Backup::decode(&[&bytes[..], b"x"].concat()), Err(Flaw::Length));
        let mut later = bytes;
        later[8] = 2;
        assert_eq!(Backup::decode(&later), Err(Flaw::Newer(2)));
    }

    #[test]
    fn the_first_backup_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/compat/backup-1.hex");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            !text.is_empty(),
            "there is no {}; today it would be\n{}",
            path.display(),
            hex::encode(sample().encode())
        );
        let bytes = hex::decode(text.split_whitespace().collect::<String>()).unwrap();
        assert_eq!(Backup::decode(&bytes).unwrap(), sample());
    }
}
