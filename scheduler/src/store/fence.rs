//! A small file beside a store that tells an emptied store from a new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Error;
use super::error::Flaw;
use super::held::Held;
use crate::journal::disk;
use epic_scheduler_core::replica::At;

/// What is known to be durable; the file may say too little, never too much.
#[derive(Debug)]
pub(super) struct Fence {
    path: PathBuf,
    written: Option<Instant>,
}

impl Fence {
    pub(super) fn beside(state_dir: &Path) -> Self {
        Self { path: state_dir.join(NAME), written: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what it says; `None` if there is none, or one that can't be read, which proves nothing.
    pub(super) fn read(&self) -> Result<Option<At>, Error> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Says so if a store holds less than it once did.
    pub(super) fn check(&self, held: Option<&Held>) -> Result<Option<Flaw>, Error> {
        let Some(fence) = self.read()? else { return Ok(None) };
        let at = held.map(|held| held.at.clone()).unwrap_or_default();
        if at.journal == fence.journal && at.batch >= fence.batch {
            return Ok(None);
        }
        Ok(Some(Flaw::Behind { batch: at.batch, journal: at.journal, fence: fence.batch, of: fence.journal }))
    }

    /// Writes down what is durable if the file hasn't been written for some seconds.
    pub(super) fn follow(&mut self, at: &At) -> Result<(), Error> {
        if self.written.is_some_and(|written| written.elapsed() < BEHIND_MAX) { Ok(()) } else { self.write(at) }
    }

    pub(super) fn write(&mut self, at: &At) -> Result<(), Error> {
        disk::replace(&self.path, [text(at).as_bytes()])?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Forgets what was durable, before a store is begun anew.
    pub(super) fn remove(&mut self) -> Result<(), Error> {
        self.written = None;
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(self.path.parent().map_or(Ok(()), disk::sync_dir)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("remove", &self.path)(error)),
        }
    }
}

/// One line that people can read, with the checksum of what is before it.
fn text(at: &At) -> String {
    let facts = format!("epic-mesos store fence 1 batch {} epoch {} journal {}", at.batch, at.epoch, at.journal);
    format!("{facts} crc32 {:08x}\n", crc32fast::hash(facts.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<At> {
    let line = str::from_utf8(bytes).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    let at = At {
        batch: words.get(5)?.parse().ok()?,
        epoch: words.get(7)?.parse().ok()?,
        journal: (*words.get(9)?).to_owned(),
    };
    (text(&at) == line).then_some(at)
}

const NAME: &str = "store.fence";
const BEHIND_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_written_or_nothing() {
        let at = At { journal: "one".to_owned(), batch: 17, epoch: 3 };
        let line = text(&at);
        assert_eq!(parse(line.as_bytes()), Some(at));
        for length in 0..line.len() {
            assert_eq!(parse(&line.as_bytes()[..length]), None);
        }
        assert_eq!(parse(line.replace("17", "16").as_bytes()), None);
    }
}
