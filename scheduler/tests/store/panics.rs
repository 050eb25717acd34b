//! An engine that panics in this very process: only the store is lost.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use epic_common_io::telemetry;
use epic_scheduler::store::{Checker, Condition, Keeper, Options};

use crate::support::{History, copied, filled, is_sick, options, state_after, until};

/// Names the state directory for the child; without it the child's test has nothing to do.
const CHILD: &str = "EPIC_TEST_PANIC_IN";

#[test]
fn a_damaged_store_that_is_opened_all_the_same_ends_no_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = runtime.block_on(filled(200, 2_000));
    let length = fs::metadata(whole.path().join("store/db")).unwrap().len();
    let mut panics = 0;
    for round in 0..8_u64 {
        let dir = copied(whole.path());
        fs::remove_file(dir.path().join("store.fence")).unwrap();
        let file = OpenOptions::new().write(true).open(dir.path().join("store/db")).unwrap();
        for place in 0..40 {
            file.write_all_at(&[0x5a; 24], (length - 24) * (place * 8 + round) / 320).unwrap();
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "panics::child_opens_without_a_check", "--nocapture"]).env(CHILD, dir.path());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
        panics += u32::from(text.contains("panicked at"));
    }
    assert!(panics > 0, "no damage made the engine panic");
}

#[tokio::test]
async fn child_opens_without_a_check() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    telemetry::abort_on_panic();
    // Says that there is an empty store, whatever is there.
    let script = dir.join("check.sh");
    fs::write(&script, "#!/bin/sh\nprintf '\\377\\377'\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (held, keeper) = Keeper::open(dir, Options { checker: Checker::of(script), ..options() });
    assert_eq!(held, None);
    let mut health = keeper.health();
    let mut history = History { batch: 200, state: state_after(200, 2_000) };
    keeper.reset(history.at(), history.state.clone());
    while !is_sick(&health.borrow()) && health.borrow().condition != Condition::Ok {
        // Each batch is a look at whether the engine is there still.
        let bytes = history.next(10);
        keeper.batch(history.batch, history.batch, bytes);
        tokio::time::timeout(Duration::from_millis(100), health.changed()).await.ok();
    }
    keeper.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_whole_store_is_no_reason_to_panic() {
    let dir = filled(20, 10).await;
    let (_, keeper) = Keeper::open(dir.path(), options());
    until(&mut keeper.health(), |health| health.condition == Condition::Ok).await;
}
