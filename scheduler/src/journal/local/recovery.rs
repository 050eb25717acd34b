//! Reading a journal back: which snapshot, which batches, and whether what is missing may be missing.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::files::Files;
use super::record::{self, Flaw, Kind};
use super::snapshot::{self, flawed};
use super::{SEGMENT_BYTES_MAX, read_bounded};
use crate::journal::disk::{self, failed};
use crate::journal::{Error, Recovered, Snapshot, TornTail};

/// What was read, and where appending goes on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) recovered: Recovered,
    /// The last batch.
    pub(super) position: u64,
    /// The segment to append to, with its length.
    pub(super) tail: Option<(PathBuf, u64)>,
}

/// Reads a journal, and cuts a torn end if nothing that was durable is in it.
///
/// `fence` is a batch that is known to have been durable; a snapshot's name says the same of its batch,
/// since it gets its name when it is whole.
pub(super) fn recover(dir: &Path, fence: u64) -> Result<Found, Error> {
    for path in Files::list(dir)?.temporary {
        fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    let found = read(dir, fence)?;
    if let Some(torn) = &found.recovered.cut {
        cut(&torn.file, found.tail.as_ref().map_or(0, |(_, length)| *length))?;
    }
    set_aside(&found.recovered.damaged_snapshots)?;
    Ok(found)
}

/// Reads a journal and changes nothing; what is named as cut or set aside is still there.
pub(super) fn read(dir: &Path, fence: u64) -> Result<Found, Error> {
    let files = Files::list(dir)?;
    let newest = files.snapshots.last_key_value().map_or(0, |(batch, _)| *batch);
    let mut reading = Reading::start(dir, &files, fence.max(newest))?;
    let last = files.segments.last_key_value().map(|(first, _)| *first);
    for (first, path) in &files.segments {
        reading.segment(*first, path, last == Some(*first))?;
    }
    reading.end()
}

struct Reading<'a> {
    dir: &'a Path,
    durable: u64,
    /// The batch that must come next.
    expected: u64,
    found: Found,
}

impl<'a> Reading<'a> {
    /// Reads the newest snapshot from which the segments go on.
    fn start(dir: &'a Path, files: &Files, durable: u64) -> Result<Self, Error> {
        let mut recovered = Recovered::default();
        let mut damage = None;
        for (batch, path) in files.snapshots.iter().rev() {
            match snapshot::read(path, *batch) {
                Ok(bytes) => {
                    recovered.snapshot = Some(Snapshot { batch: *batch, bytes });
                    break;
                }
                Err(error @ Error::Damaged { .. }) => {
                    recovered.damaged_snapshots.push(path.clone());
                    damage = damage.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        let base = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.batch);
        let first = files.segments.first_key_value().map(|(first, _)| *first);
        match first.filter(|first| *first > base + 1) {
            Some(found) => Err(damage.unwrap_or(Error::Gap { dir: dir.to_owned(), expected: base + 1, found })),
            None => {
                let found = Found { recovered, position: 0, tail: None };
                Ok(Self { dir, durable, expected: first.unwrap_or(1), found })
            }
        }
    }

    fn segment(&mut self, first: u64, path: &Path, is_last: bool) -> Result<(), Error> {
        if first != self.expected {
            return Err(Error::Gap { dir: self.dir.to_owned(), expected: self.expected, found: first });
        }
        let file = read_bounded(path, SEGMENT_BYTES_MAX)?;
        let Some((offset, flaw)) = self.records(&file, first) else {
            self.found.tail = Some((path.to_owned(), file.len() as u64));
            return Ok(());
        };
        if !is_last || !self.is_torn(&file[offset..], offset == 0) || matches!(flaw, Flaw::Newer(_)) {
            return Err(flawed(path, offset, self.expected, flaw));
        }
        self.found.recovered.cut = Some(TornTail { file: path.to_owned(), bytes: (file.len() - offset) as u64 });
        self.found.tail = (offset > 0).then(|| (path.to_owned(), offset as u64));
        Ok(())
    }

    /// Takes a segment's batches; says where the first flaw is, and which.
    fn records(&mut self, file: &[u8], first: u64) -> Option<(usize, Flaw)> {
        let mut rest = match record::after_header(file, Kind::Segment, first) {
            Ok(rest) => rest,
            Err(flaw) => return Some((0, flaw)),
        };
        while !rest.is_empty() {
            match record::split_record(rest, self.expected) {
                Ok((payload, after)) => {
                    self.take(payload);
                    rest = after;
                }
                Err(flaw) => return Some((file.len() - rest.len(), flaw)),
            }
        }
        None
    }

    fn take(&mut self, payload: &[u8]) {
        let base = self.found.recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.batch);
        if self.expected > base {
            self.found.recovered.batches.push((self.expected, payload.to_vec()));
        }
        self.expected += 1;
    }

    /// Says whether the bytes from a flaw to the end can be what an interrupted append left.
    ///
    /// An append is durable before the next begins, so at most one record can be torn, none that is
    /// known to have been durable, and nothing whole comes after it. A header is durable before its first record.
    fn is_torn(&self, rest: &[u8], is_header: bool) -> bool {
        let whole_from = if is_header { self.expected } else { self.expected + 1 };
        self.expected > self.durable
            && rest.len() <= record::RECORD_BYTES_MAX
            && !record::holds_record(rest, whole_from)
    }

    fn end(mut self) -> Result<Found, Error> {
        self.found.position = self.expected - 1;
        if self.found.position < self.durable {
            return Err(Error::Behind { dir: self.dir.to_owned(), last: self.found.position, durable: self.durable });
        }
        Ok(self.found)
    }
}

/// Cuts a file at this offset; a segment without a header is removed.
fn cut(path: &Path, offset: u64) -> Result<(), Error> {
    if offset == 0 {
        fs::remove_file(path).map_err(failed("remove", path))?;
        return path.parent().map_or(Ok(()), disk::sync_dir);
    }
    let file = OpenOptions::new().write(true).open(path).map_err(failed("open", path))?;
    file.set_len(offset).and_then(|()| file.sync_all()).map_err(failed("cut", path))
}

/// Renames damaged snapshots, so that they don't count as snapshots any more.
fn set_aside(paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        fs::rename(path, PathBuf::from(name)).map_err(failed("set aside", path))?;
    }
    Ok(())
}
