//! A journal of byte strings, and what it should hold.

use std::fs;
use std::path::{Path, PathBuf};

use epic_scheduler::journal::local::Local;
use epic_scheduler::journal::{Error, Journal, Recovered};
use tempfile::TempDir;

/// What every batch up to now said, in order.
pub(crate) type Sum = Vec<Vec<u8>>;

/// Makes the bytes of a snapshot.
pub(crate) fn pack(sum: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in sum {
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Adds up what was recovered, and asserts that its numbers have no gap.
pub(crate) fn sum(recovered: &Recovered) -> Sum {
    let mut sum = Vec::new();
    if let Some(snapshot) = &recovered.snapshot {
        let mut rest = snapshot.bytes.as_slice();
        while let Some((length, after)) = rest.split_at_checked(4) {
            let (payload, after) = after.split_at(u32::from_le_bytes(length.try_into().unwrap()) as usize);
            sum.push(payload.to_vec());
            rest = after;
        }
        assert_eq!(snapshot.batch, sum.len() as u64, "a snapshot has another number than its sum");
    }
    for (batch, payload) in &recovered.batches {
        sum.push(payload.clone());
        assert_eq!(*batch, sum.len() as u64, "a batch has another number than its place");
    }
    sum
}

/// Makes a directory in memory where there is such a file system: these tests open journals thousands of times.
pub(crate) fn fast_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

pub(crate) fn fill(journal: &mut impl Journal, payloads: &[&[u8]]) {
    for payload in payloads {
        journal.append(journal.position() + 1, payload).unwrap();
    }
}

/// Copies a state directory as a crash would leave it: without the lock, and without closing the journal.
pub(crate) fn crashed(state_dir: &Path) -> TempDir {
    let copy = fast_dir();
    fs::create_dir(copy.path().join("journal")).unwrap();
    for file in files(state_dir) {
        fs::copy(&file, copy.path().join(file.strip_prefix(state_dir).unwrap())).unwrap();
    }
    copy
}

/// Lists the files that matter, in the order of their names.
pub(crate) fn files(state_dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(state_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(Some(state_dir.join("fence")).filter(|fence| fence.exists()));
    files.sort();
    files
}

pub(crate) fn segment(state_dir: &Path, first: u64) -> PathBuf {
    state_dir.join("journal").join(format!("segment-{first:020}.log"))
}

pub(crate) fn snapshot(state_dir: &Path, last: u64) -> PathBuf {
    state_dir.join("journal").join(format!("snapshot-{last:020}.snap"))
}

/// Opens a journal that must be refused, and returns what is said, with all causes.
pub(crate) fn refusal(state_dir: &Path) -> String {
    chain(&Local::open(state_dir).expect_err("the journal was opened"))
}

pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
