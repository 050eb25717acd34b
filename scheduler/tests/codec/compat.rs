//! Bytes that an earlier version wrote are read for ever.

use std::path::PathBuf;

use epic_scheduler::journal::codec::{decode_batch, decode_snapshot, encode_batch, encode_snapshot};
use epic_scheduler_core::invariants;
use epic_scheduler_core::state::entry::{Entry, Index};

use crate::samples::{
    FIRST, KINDS, every_kind, every_kind_of_the_first_batch, every_kind_of_the_fourth_batch,
    every_kind_of_the_second_batch, every_kind_of_the_third_batch, number, state, state_after,
};

/// Reads a file of hexadecimal digits; what is written today is shown if there is none.
fn fixture(name: &str, today: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/compat").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(!text.is_empty(), "there is no {}; today it would be\n{}", path.display(), hex::encode(today));
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

/// Checks that a fixture of a batch, and one of a snapshot of all its entries but the last, are read as these entries.
fn check(nth: u32, entries: Vec<Entry>) {
    let bytes = fixture(&format!("batch-{nth}.hex"), &encode_batch(0, Index(FIRST), &entries));
    let state = state_after(&entries);
    assert_eq!(decode_batch(&bytes).unwrap(), (Index(FIRST), entries));
    let bytes = fixture(&format!("snapshot-{nth}.hex"), &encode_snapshot(&state));
    let read = decode_snapshot(&bytes).unwrap();
    invariants::check_all(&read);
    assert_eq!(read, state);
}

#[test]
fn the_first_batch_and_snapshot_are_read() {
    check(1, every_kind_of_the_first_batch());
}

#[test]
fn the_second_batch_and_snapshot_are_read_with_who_led() {
    check(2, every_kind_of_the_second_batch());
}

#[test]
fn the_third_batch_and_snapshot_are_read_with_a_framework_that_was_replaced() {
    check(3, every_kind_of_the_third_batch());
}

#[test]
fn the_fourth_batch_and_snapshot_are_read_with_where_the_journal_went() {
    check(4, every_kind_of_the_fourth_batch());
}

#[test]
fn the_fifth_batch_and_snapshot_are_read_with_who_asked_and_what_a_launch_runs_from() {
    check(5, every_kind());
}

#[test]
fn the_samples_leave_out_no_kind_and_no_part_of_a_state() {
    let mut kinds: Vec<_> = every_kind().iter().map(|entry| number(&entry.fact)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..KINDS).collect::<Vec<_>>());
    let state = state();
    assert!(!state.units.tasks.is_empty() && !state.ledger.hosts.is_empty() && !state.ledger.executors.is_empty());
    assert!(
        !state.documents.is_empty()
            && !state.strangers.is_empty()
            && !state.keys.is_empty()
            && state.identity.leader.is_some()
    );
    assert!(state.identity.moved_to.is_some());
}
