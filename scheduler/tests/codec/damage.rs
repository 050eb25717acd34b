//! Damaged bytes are an error or another value, never a panic.

use epic_scheduler::journal::codec::{decode_batch, decode_snapshot, encode_batch, encode_snapshot};
use epic_scheduler_core::invariants;
use epic_scheduler_core::state::entry::Index;

use crate::samples::{FIRST, every_kind, state};

#[test]
fn a_batch_that_is_cut_is_never_taken_for_the_whole() {
    let entries = every_kind();
    let whole = encode_batch(0, Index(FIRST), &entries);
    for cut in 0..whole.len() {
        assert_ne!(decode_batch(&whole[..cut]).ok(), Some((Index(FIRST), entries.clone())), "cut at {cut}");
    }
}

#[test]
fn a_snapshot_that_is_cut_is_never_taken_for_the_whole() {
    let state = state();
    let whole = encode_snapshot(&state);
    for cut in 0..whole.len() {
        assert_ne!(decode_snapshot(&whole[..cut]).ok().as_ref(), Some(&state), "cut at {cut}");
    }
}

#[test]
fn no_flipped_bit_is_a_panic_and_what_is_read_contradicts_nothing() {
    let batch = encode_batch(0, Index(FIRST), &every_kind());
    let snapshot = encode_snapshot(&state());
    let mut errors = 0;
    for bit in 0..batch.len() * 8 {
        let mut bytes = batch.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        errors += usize::from(decode_batch(&bytes).is_err());
    }
    for bit in 0..snapshot.len() * 8 {
        let mut bytes = snapshot.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match decode_snapshot(&bytes) {
            Ok(read) => invariants::check_all(&read),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 1_000, "only {errors} flipped bits were noticed");
}
