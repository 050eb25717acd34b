//! The names of the journal's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::journal::Error;
use crate::journal::disk::{self, failed};

/// The files in a journal's directory, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Segments by their first batch.
    pub(super) segments: BTreeMap<u64, PathBuf>,
    /// Snapshots by their last batch.
    pub(super) snapshots: BTreeMap<u64, PathBuf>,
    /// What an interrupted replacement left.
    pub(super) temporary: Vec<PathBuf>,
}

impl Files {
    /// Lists a directory; names that aren't the journal's are left alone.
    pub(super) fn list(dir: &Path) -> Result<Self, Error> {
        let mut files = Self::default();
        for entry in fs::read_dir(dir).map_err(failed("list directory", dir))? {
            let path = entry.map_err(failed("list directory", dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if disk::is_temporary(name) {
                files.temporary.push(path);
            } else if let Some(first) = number(name, "segment-", ".log") {
                files.segments.insert(first, path);
            } else if let Some(last) = number(name, "snapshot-", ".snap") {
                files.snapshots.insert(last, path);
            }
        }
        Ok(files)
    }
}

/// Names the segment that starts with this batch.
pub(super) fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("segment-{first:020}.log"))
}

/// Names the snapshot that ends with this batch.
pub(super) fn snapshot(dir: &Path, last: u64) -> PathBuf {
    dir.join(format!("snapshot-{last:020}.snap"))
}

fn number(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}
