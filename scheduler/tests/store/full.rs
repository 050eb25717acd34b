//! A disk that is full, a file that may not grow, a directory that can't be written: sick, then well again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use epic_scheduler::store::{self, Condition, Error, Health, Keeper, Options};
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::support::{History, aside, checker, close, copied, fast_dir, filled, fold, is_sick, options, until};

/// Names the state directory for a child; without it the children's tests have nothing to do.
const CHILD: &str = "EPIC_TEST_FULL_IN";
const WEIGHT: usize = 20_000;

#[test]
fn a_full_disk_makes_the_store_sick_until_there_is_room() {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    run(command.args(["--exact", "full::child_fills_a_small_disk", "--nocapture"]), dir.path());
}

#[tokio::test]
async fn child_fills_a_small_disk() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    mount(Some("none"), dir, Some("tmpfs"), MsFlags::empty(), Some("size=24m")).unwrap();
    let (_, keeper) = Keeper::open(dir, Options { reserve_bytes: 2 << 20, ..options() });
    let mut history = History::default();
    keeper.reset(history.at(), history.state.clone());
    let mut health = keeper.health();
    until(&mut health, |health| health.condition == Condition::Ok).await;

    let filler = dir.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[1; 65_536]).is_ok() {}
    let sick = until_sick(&keeper, &mut history).await;
    let why = format!("{sick:?}");
    assert!(why.contains(&dir.display().to_string()) && why.contains("free some space"), "{why}");
    drop(file);
    fs::remove_file(&filler).unwrap();
    mends(dir, keeper, history).await;
}

#[test]
fn a_file_that_may_not_grow_makes_the_store_sick_until_it_may() {
    let dir = fast_dir();
    let mut command = Command::new("sh");
    // The limit counts blocks of 512 bytes; what is over it is an error rather than the signal's end.
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    run(command.args(["--exact", "full::child_meets_a_limit", "--nocapture"]), dir.path());
}

#[tokio::test]
async fn child_meets_a_limit() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    let (_, keeper) = Keeper::open(dir, options());
    let mut history = History::default();
    keeper.reset(history.at(), history.state.clone());
    let sick = until_sick(&keeper, &mut history).await;
    let why = format!("{sick:?}");
    assert!(why.contains(&dir.display().to_string()) && why.contains("File too large"), "{why}");
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    mends(dir, keeper, history).await;
}

/// Decides batches until the store is sick; it must be so before 60 MB.
async fn until_sick(keeper: &Keeper, history: &mut History) -> Health {
    let mut health = keeper.health();
    for _ in 0..3000 {
        let bytes = history.next(WEIGHT);
        keeper.batch(history.batch, history.batch, bytes);
        let near = history.batch.saturating_sub(20);
        let seen = until(&mut health, |health| is_sick(health) || health.batch >= near).await;
        if is_sick(&seen) {
            return seen;
        }
        if seen.wants_reset {
            keeper.reset(history.at(), history.state.clone());
        }
    }
    panic!("the store took 60 MB without a word");
}

/// Asserts that the store asks for the state, takes it, and holds it.
async fn mends(dir: &Path, keeper: Keeper, mut history: History) {
    let mut health = keeper.health();
    while health.borrow().condition != Condition::Ok {
        let seen = until(&mut health, |health| health.wants_reset || health.condition == Condition::Ok).await;
        if seen.wants_reset {
            keeper.reset(history.at(), history.state.clone());
        }
    }
    let bytes = history.next(WEIGHT);
    keeper.batch(history.batch, history.batch, bytes);
    close(keeper).await;
    let held = loop {
        // Of the engine that failed, a thread may have the file for moments longer.
        match store::read(dir, &checker()) {
            Err(Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            read => break read.unwrap().unwrap(),
        }
    };
    assert_eq!(held.at.batch, history.batch);
    assert_eq!(fold(&held), history.state);
}

/// Runs a child that must end well.
fn run(command: &mut Command, dir: &Path) {
    let output = command.env(CHILD, dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    assert!(String::from_utf8_lossy(&text).contains("1 passed"), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_sick_and_nothing_else() {
    let whole = filled(30, 100).await;
    let dir = copied(whole.path());
    // Nobody can write below a file, whoever it is.
    fs::rename(dir.path().join("store"), dir.path().join("kept")).unwrap();
    fs::write(dir.path().join("store"), "not a directory").unwrap();
    let (held, keeper) = Keeper::open(dir.path(), options());
    assert!(held.is_none());
    let mut health = keeper.health();
    assert!(is_sick(&health.borrow()), "{:?}", health.borrow());
    let history = History { batch: 30, state: crate::support::state_after(30, 100) };
    keeper.batch(1, 1, Arc::from(&b"x"[..]));
    until(&mut health, |health| health.wants_reset).await;
    keeper.reset(history.at(), history.state.clone());
    until(&mut health, |health| is_sick(health) && !health.wants_reset).await;
    fs::remove_file(dir.path().join("store")).unwrap();
    fs::rename(dir.path().join("kept"), dir.path().join("store")).unwrap();
    mends(dir.path(), keeper, history).await;
    assert_eq!(aside(dir.path()).len(), 0);
    let (held, _keeper) = Keeper::open(dir.path(), options());
    assert!(held.is_some_and(|held| held.base == 30));
}
