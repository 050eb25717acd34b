//! A process that is killed while it appends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use epic_scheduler::journal::Journal;
use epic_scheduler::journal::local::Local;
use tempfile::TempDir;

use crate::support::sum;

/// Names the state directory for the child; without it the child's test has nothing to do.
const CHILD: &str = "EPIC_TEST_APPEND_TO";

#[test]
fn everything_that_a_killed_process_acknowledged_is_there() {
    let state = TempDir::new().unwrap();
    let mut acknowledged = 0;
    for round in 0_u64..20 {
        acknowledged = kill_after(state.path(), acknowledged + 1 + round * 7 % 31);
        let (journal, recovered) = Local::open(state.path()).unwrap();
        let said = sum(&recovered);
        assert!(said.len() as u64 >= acknowledged, "{} of {acknowledged}", said.len());
        for (payload, batch) in said.iter().zip(1..) {
            assert_eq!(*payload, payload_of(batch));
        }
        acknowledged = journal.position();
    }
}

/// Lets a child append until it acknowledged this batch, kills it, and returns the last batch that it acknowledged.
fn kill_after(state: &std::path::Path, batch: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"])
        .env(CHILD, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    while last < batch {
        let line = lines.next().expect("the child ended before it was killed").unwrap();
        last = line.strip_prefix("ack ").map_or(last, |number| number.parse().unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        last = line.strip_prefix("ack ").and_then(|number| number.parse().ok()).unwrap_or(last);
    }
    last
}

#[test]
fn child_appends_until_it_is_killed() {
    let Some(state) = std::env::var_os(CHILD) else { return };
    let (mut journal, _) = Local::open(state).unwrap();
    let mut out = std::io::stdout().lock();
    for batch in journal.position() + 1.. {
        journal.append(batch, &payload_of(batch)).unwrap();
        writeln!(out, "ack {batch}").unwrap();
        out.flush().unwrap();
    }
}

fn payload_of(batch: u64) -> Vec<u8> {
    batch.to_le_bytes().repeat(usize::try_from(batch % 100).unwrap())
}
