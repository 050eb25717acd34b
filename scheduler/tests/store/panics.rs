//! An engine that panics in this very process: only the store is lost.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use epic_common_io::telemetry;
use epic_scheduler::store::{Condition, Keeper, Options};

use crate::support::{History, close, copied, filled, fold, is_sick, options, script, state_after};

/// Names the state directory for the child; without it the child's test has nothing to do.
const CHILD: &str = "EPIC_TEST_PANIC_IN";
const BATCHES: u64 = 70;
const WEIGHT: usize = 60_000;

#[test]
fn a_damaged_store_that_is_opened_all_the_same_ends_no_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = runtime.block_on(filled(BATCHES, WEIGHT));
    let (mut panics, mut said) = (0, String::new());
    // Whether it panics or sees what is wrong depends on where its own summary stands, which each opening moves.
    for round in 1..=10 {
        runtime.block_on(one_more(whole.path()));
        let dir = copied(whole.path());
        fs::remove_file(dir.path().join("store.fence")).unwrap();
        let file = File::options().write(true).open(dir.path().join("store/db")).unwrap();
        file.set_len(file.metadata().unwrap().len() * round / 11).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "panics::child_opens_without_a_check", "--nocapture"]).env(CHILD, dir.path());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
        panics += u32::from(text.contains("panicked at") && text.contains("store: the engine is gone"));
        said += &text;
    }
    assert!(panics > 0, "no cut made the engine panic: {said}");
}

/// Opens a store and adds a few batches.
async fn one_more(state_dir: &Path) {
    let (held, keeper) = Keeper::open(state_dir, options());
    let held = held.unwrap();
    let mut history = History { batch: held.at.batch, state: fold(&held) };
    for _ in 0..4 {
        let bytes = history.next(WEIGHT);
        keeper.batch(history.batch, history.batch, bytes);
    }
    close(keeper).await;
}

#[tokio::test]
async fn child_opens_without_a_check() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    telemetry::abort_on_panic();
    // Says that there is an empty store, whatever is there.
    let checker = script(dir, "printf '\\377\\377'");
    let (held, keeper) = Keeper::open(dir, Options { checker, ..options() });
    assert_eq!(held, None);
    let mut health = keeper.health();
    let mut history = History { batch: BATCHES, state: state_after(BATCHES, WEIGHT) };
    keeper.reset(history.at(), history.state.clone());
    while !is_sick(&health.borrow()) && health.borrow().condition != Condition::Ok {
        // Each batch is a look at whether the engine is there still.
        let bytes = history.next(10);
        keeper.batch(history.batch, history.batch, bytes);
        tokio::time::timeout(Duration::from_millis(100), health.changed()).await.ok();
    }
    writeln!(std::io::stdout(), "{:?}", health.borrow()).unwrap();
    if format!("{:?}", health.borrow().condition).contains("has panicked; restart this replica") {
        // It can't be mended in this process, and says so by asking for nothing.
        keeper.reset(history.at(), history.state.clone());
        assert!(!keeper.wants_reset() && is_sick(&health.borrow()));
        writeln!(std::io::stdout(), "store: the engine is gone").unwrap();
    }
    keeper.close(Duration::from_secs(5)).await;
}
