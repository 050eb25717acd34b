//! A process that is killed while it keeps a store.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use epic_scheduler::store::Keeper;

use crate::support::{History, aside, assert_is_true, fast_dir, fold, options, until};

/// Names the state directory for the child; without it the child's test has nothing to do.
pub(crate) const CHILD: &str = "EPIC_TEST_KEEP_IN";
/// Lets the child write no base but the first.
pub(crate) const ONE_BASE: &str = "EPIC_TEST_ONE_BASE";
pub(crate) const WEIGHT: usize = 300;

#[test]
fn everything_that_a_killed_process_called_durable_is_held() {
    let state = fast_dir();
    let mut durable = 0;
    for round in 0_u64..12 {
        durable = kill_after(state.path(), durable + 1 + round * 37 % 101);
        let (held, keeper) = Keeper::open(state.path(), options());
        let held = held.expect("something was durable");
        assert!(held.at.batch >= durable, "{} of {durable}", held.at.batch);
        assert_is_true(&held, WEIGHT);
        assert_eq!(aside(state.path()).len(), 0);
        durable = held.at.batch;
        drop(keeper);
    }
}

/// Lets a child keep batches until this one is durable, kills it, and returns the last batch that it called durable.
fn kill_after(state: &Path, batch: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_keeps_batches_until_it_is_killed", "--nocapture"])
        .env(CHILD, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    while last < batch {
        let line = lines.next().expect("the child ended before it was killed").unwrap();
        last = line.strip_prefix("durable ").map_or(last, |number| number.parse().unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        last = line.strip_prefix("durable ").and_then(|number| number.parse().ok()).unwrap_or(last);
    }
    last
}

#[tokio::test]
async fn child_keeps_batches_until_it_is_killed() {
    let Some(state) = std::env::var_os(CHILD) else { return };
    let (held, keeper) = Keeper::open(Path::new(&state), options());
    let mut history = held.map_or_else(History::default, |held| History { state: fold(&held), batch: held.at.batch });
    if keeper.wants_reset() {
        keeper.reset(history.at(), history.state.clone());
    }
    let mut health = keeper.health();
    for round in 0_u64.. {
        for _ in 0..=round % 23 {
            let bytes = history.next(WEIGHT);
            keeper.batch(history.batch, history.batch, bytes);
        }
        if round % 3 == 0 && std::env::var_os(ONE_BASE).is_none() {
            keeper.reset(history.at(), history.state.clone());
        }
        let seen = until(&mut health, |health| health.batch == history.batch).await;
        writeln!(std::io::stdout(), "durable {}", seen.batch).unwrap();
    }
}
