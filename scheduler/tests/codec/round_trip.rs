//! What is written is read back equal.

use epic_common::time::Timestamp;
use epic_scheduler::journal::codec::{decode_batch, decode_snapshot, encode_batch, encode_snapshot};
use epic_scheduler_core::invariants;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, Index, KNOWN};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use crate::arbitrary::{entry, fact};
use crate::history::fold;
use crate::samples::every_kind;

/// `Fact::number` tells other replicas what is needed to read an entry.
#[test]
fn the_number_of_each_kind_is_that_of_its_field() {
    for entry in every_kind() {
        let bytes = encode_batch(0, Index(1), std::slice::from_ref(&entry));
        let batch = epic_proto::epic::v1::Batch::decode(&bytes[..]).unwrap();
        let mut alone = batch.entries[0].clone();
        alone.at_micros = 0;
        let key = prost::encoding::decode_varint(&mut &alone.encode_to_vec()[..]).unwrap();
        assert_eq!(u64::from(entry.fact.number()), key >> 3, "{:?}", entry.fact);
        assert!(entry.fact.number() <= KNOWN);
    }
}

proptest! {
    #[test]
    fn a_batch_is_read_as_it_was_written(first in 1..u64::MAX / 2, entries in vec(entry(), 0..8)) {
        let bytes = encode_batch(0, Index(first), &entries);
        prop_assert_eq!(decode_batch(&bytes).unwrap(), (Index(first), entries));
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written_with_every_index(entries in vec(entry(), 0..80)) {
        let state = fold(&entries);
        invariants::check_all(&state);
        let read = decode_snapshot(&encode_snapshot(&state)).unwrap();
        invariants::check_all(&read);
        prop_assert_eq!(read, state);
    }

    #[test]
    fn an_entry_with_short_texts_weighs_at_least_what_it_takes(entry in entry()) {
        let bytes = encode_batch(0, Index(1), std::slice::from_ref(&entry)).len();
        prop_assert!(bytes <= entry.fact.weight(), "{} bytes, weight {}: {:?}", bytes, entry.fact.weight(), entry);
    }

    #[test]
    fn long_texts_count_in_an_entrys_weight(mut fact in fact(), bytes in 0..5_000_usize) {
        if let Fact::StatusRecorded(status) = &mut fact {
            (status.reason, status.message) = ("r".repeat(bytes), "m".repeat(bytes));
            let said = status.report.iter_mut().flat_map(|report| &mut report.services);
            said.for_each(|service| service.reason = "s".repeat(bytes));
        }
        let weight = fact.weight();
        let bytes = encode_batch(0, Index(1), &[Entry::new(Timestamp(1), fact)]).len();
        prop_assert!(bytes <= weight, "{} bytes, weight {}", bytes, weight);
    }

    #[test]
    fn random_bytes_are_no_batch_and_no_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_batch(&bytes).is_err());
        prop_assert!(decode_snapshot(&bytes).is_err());
    }
}

#[test]
fn a_state_without_entries_has_a_snapshot() {
    assert_eq!(decode_snapshot(&encode_snapshot(&State::default())).unwrap(), State::default());
}
