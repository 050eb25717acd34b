//! What every journal has to do, whatever it is made of.

use std::fs;

use epic_scheduler::journal::local::Local;
use epic_scheduler::journal::{Error, Journal, PAYLOAD_BYTES_MAX};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert_eq, proptest};

use crate::support::{Sum, chain, crashed, fast_dir, files, fill, pack, segment, snapshot, sum};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Snapshot,
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..200).prop_map(Step::Append),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn whatever_happens_between_all_that_was_acknowledged_is_there(steps in vec(step(), 0..40)) {
        let mut state = fast_dir();
        let (mut journal, _) = Local::open(state.path()).unwrap();
        let (mut said, mut last_snapshot) = (Sum::new(), 0);
        for step in steps {
            match step {
                Step::Append(payload) => {
                    journal.append(said.len() as u64 + 1, &payload).unwrap();
                    said.push(payload);
                }
                Step::Snapshot => {
                    if said.len() > last_snapshot {
                        last_snapshot = said.len();
                        journal.snapshot(last_snapshot as u64, &pack(&said)).unwrap();
                    }
                }
                Step::Reopen => {
                    journal.close().unwrap();
                    let (reopened, recovered) = Local::open(state.path()).unwrap();
                    prop_assert_eq!(sum(&recovered), said.clone());
                    journal = reopened;
                }
                Step::Crash => {
                    let copy = crashed(state.path());
                    let (reopened, recovered) = Local::open(copy.path()).unwrap();
                    prop_assert_eq!(sum(&recovered), said.clone());
                    journal = reopened;
                    state = copy;
                }
            }
            prop_assert_eq!(journal.position(), said.len() as u64);
        }
    }
}

#[test]
fn a_new_journal_is_empty_and_its_files_are_the_owners() {
    use std::os::unix::fs::PermissionsExt;
    let parent = fast_dir();
    let state = parent.path().join("new/state");
    let (mut journal, recovered) = Local::open(&state).unwrap();
    assert_eq!((journal.position(), recovered), (0, epic_scheduler::journal::Recovered::default()));
    fill(&mut journal, &[b"one"]);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(&state) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn only_the_next_batch_of_a_bounded_size_is_taken() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &[b"one"]);
    let check = |error: Error, expected: &str| assert_eq!(chain(&error), expected);
    check(journal.append(1, b"again").unwrap_err(), "batch 1 cannot follow batch 1");
    check(journal.append(3, b"gap").unwrap_err(), "batch 3 cannot follow batch 1");
    let large = vec![7; PAYLOAD_BYTES_MAX + 1];
    check(journal.append(2, &large).unwrap_err(), "batch 2 has 524289 bytes, but at most 524288 are allowed");
    check(
        journal.snapshot(2, b"").unwrap_err(),
        "cannot take a snapshot at batch 2: it must be after batch 0 and at most at batch 1",
    );
    journal.append(2, &large[1..]).unwrap();
    assert_eq!(journal.position(), 2);
}

#[test]
fn segments_are_bounded_and_those_that_two_snapshots_cover_are_removed() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    let payload = vec![5; PAYLOAD_BYTES_MAX];
    for batch in 1..=63 {
        assert!(!journal.should_snapshot(), "batch {batch}");
        journal.append(batch, &payload).unwrap();
    }
    for file in files(state.path()) {
        assert!(fs::metadata(&file).unwrap().len() <= 16 << 20, "{}", file.display());
    }
    journal.append(64, &payload).unwrap();
    assert!(journal.should_snapshot());
    journal.snapshot(40, b"first").unwrap();
    assert!(segment(state.path(), 1).exists(), "the only snapshot has nothing to fall back on");
    assert!(!journal.should_snapshot());
    journal.snapshot(64, b"second").unwrap();
    assert!(!segment(state.path(), 1).exists());
    let large = vec![6; (1 << 20) + 1];
    journal.append(65, b"more").unwrap();
    journal.snapshot(65, &large).unwrap();
    assert!(!snapshot(state.path(), 40).exists());
    journal.close().unwrap();
    let (_journal, recovered) = Local::open(state.path()).unwrap();
    let found = recovered.snapshot.unwrap();
    assert!(found.batch == 65 && found.bytes == large && recovered.batches.is_empty());
}

#[test]
fn ten_thousand_batches_make_a_snapshot_due_also_after_a_restart() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    for batch in 1..10_000 {
        journal.append(batch, b"").unwrap();
    }
    journal.close().unwrap();
    let (mut journal, recovered) = Local::open(state.path()).unwrap();
    assert_eq!((recovered.batches.len(), journal.should_snapshot()), (9_999, false));
    journal.append(10_000, b"").unwrap();
    assert!(journal.should_snapshot());
}
