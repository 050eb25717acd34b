//! A journal of small batches, a keeper that follows it, and what should be held.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use epic_common::time::Timestamp;
use epic_scheduler::journal::codec;
use epic_scheduler::store::{Checker, Condition, Health, Held, Keeper, Options};
use epic_scheduler_core::replica::At;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};
use tempfile::TempDir;
use tokio::sync::watch;

/// A history in which every batch has one entry that differs from all others.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) state: State,
    pub(crate) batch: u64,
}

impl History {
    /// Decides one more batch; `weight` is about how many bytes it has.
    pub(crate) fn next(&mut self, weight: usize) -> Arc<[u8]> {
        self.batch += 1;
        let fact = Fact::LeaderClaimed {
            epoch: self.batch,
            replica: format!("replica-{}", self.batch),
            advertise: "x".repeat(weight),
        };
        let entry = Entry::new(Timestamp(self.batch), fact);
        let bytes = codec::encode_batch(0, self.state.index.next(), std::slice::from_ref(&entry));
        self.state.apply(&entry);
        bytes.into()
    }

    pub(crate) fn at(&self) -> At {
        at(self.batch)
    }
}

pub(crate) fn at(batch: u64) -> At {
    At { journal: JOURNAL.to_owned(), batch, epoch: batch }
}

/// Returns the state after so many batches of this weight.
pub(crate) fn state_after(batches: u64, weight: usize) -> State {
    let mut history = History::default();
    for _ in 0..batches {
        history.next(weight);
    }
    history.state
}

pub(crate) fn options() -> Options {
    Options { checker: checker(), reserve_bytes: 0 }
}

pub(crate) fn checker() -> Checker {
    Checker::of(env!("CARGO_BIN_EXE_epic-scheduler"))
}

/// Makes a program that looks at stores in its own way.
///
/// Another process writes it: a file can't be run while anybody has it open for writing, and a child that another test
/// starts just then would.
pub(crate) fn script(dir: &Path, text: &str) -> Checker {
    let path = dir.join("check.sh");
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let written = Command::new("sh").args(["-c", write, "sh", text]).arg(&path).status().unwrap();
    assert!(written.success());
    Checker::of(path)
}

/// Folds what was held, as a start does.
pub(crate) fn fold(held: &Held) -> State {
    let mut state = codec::decode_snapshot(&held.snapshot).unwrap();
    let mut last = held.base;
    for (batch, bytes) in &held.batches {
        assert_eq!(*batch, last + 1);
        last = *batch;
        let (first, entries) = codec::decode_batch(bytes).unwrap();
        assert_eq!(first, state.index.next());
        for entry in &entries {
            state.apply(entry);
        }
    }
    assert_eq!(last, held.at.batch);
    state
}

/// Asserts that the state is that of so many batches, and of no others.
pub(crate) fn assert_is_true(held: &Held, weight: usize) {
    assert_eq!(held.at, at(held.at.batch));
    assert_eq!(fold(held), state_after(held.at.batch, weight));
}

/// Waits until a store is as it should be; a minute is too long.
pub(crate) async fn until(health: &mut watch::Receiver<Health>, is: impl FnMut(&Health) -> bool) -> Health {
    let seen = tokio::time::timeout(Duration::from_secs(60), health.wait_for(is)).await;
    let seen = seen.map(|seen| seen.map(|seen| seen.clone()));
    if let Ok(seen) = seen {
        return seen.expect("the keeper is there");
    }
    panic!("the store is {:?}", health.borrow())
}

pub(crate) async fn close(keeper: Keeper) {
    assert!(keeper.close(Duration::from_secs(60)).await, "the store did not close");
}

pub(crate) fn is_sick(health: &Health) -> bool {
    matches!(health.condition, Condition::Sick(_))
}

/// Makes a store of so many batches, of which all but the first 20 come after its base.
pub(crate) async fn filled(batches: u64, weight: usize) -> TempDir {
    let dir = fast_dir();
    let (held, keeper) = Keeper::open(dir.path(), options());
    assert_eq!(held, None);
    let mut history = History::default();
    while history.batch < 20 {
        history.next(weight);
    }
    keeper.reset(history.at(), history.state.clone());
    while history.batch < batches {
        let bytes = history.next(weight);
        keeper.batch(history.batch, history.batch, bytes);
    }
    close(keeper).await;
    dir
}

/// Makes the same store, of which the last batch was written after another opening: the engine has a summary of its own
/// from there on, and meets damage in other ways.
pub(crate) async fn filled_twice(batches: u64, weight: usize) -> TempDir {
    let dir = filled(batches - 1, weight).await;
    let (held, keeper) = Keeper::open(dir.path(), options());
    let mut history = History { batch: batches - 1, state: fold(&held.unwrap()) };
    let bytes = history.next(weight);
    keeper.batch(batches, batches, bytes);
    close(keeper).await;
    dir
}

/// Makes a directory in memory where there is such a file system: these tests open stores many times.
pub(crate) fn fast_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// Copies a state directory with its store.
pub(crate) fn copied(from: &Path) -> TempDir {
    let to = fast_dir();
    copy(from, to.path());
    to
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Lists what was set aside.
pub(crate) fn aside(state_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(state_dir).unwrap().map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("store.damaged-");
    let mut aside: Vec<_> = entries.filter(is_aside).collect();
    aside.sort();
    aside
}

pub(crate) const JOURNAL: &str = "0b51-a";
