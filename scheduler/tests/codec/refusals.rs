//! What can't be read is refused with the object and the field.

use std::error::Error as _;

use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::entry::Fact;
use epic_scheduler::journal::codec::{Error, decode_batch, decode_snapshot, encode_batch, encode_snapshot};
use epic_scheduler_core::state::entry::Index;
use prost::Message;

use crate::samples::{FIRST, every_kind, number, state};

/// Shows an error with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Changes the first entry of a kind in the sample batch, and compares what is then said of the batch.
fn check_entry(kind: usize, change: impl Fn(&mut Fact), expected: &str) {
    let place = every_kind().iter().position(|entry| number(&entry.fact) == kind).unwrap();
    let mut batch = proto::Batch::decode(&encode_batch(0, Index(FIRST), &every_kind())[..]).unwrap();
    change(batch.entries[place].fact.as_mut().unwrap());
    let error = decode_batch(&batch.encode_to_vec()).unwrap_err();
    assert_eq!(chain(&error), format!("cannot read entry {}: {expected}", FIRST + u64::try_from(place).unwrap()));
}

fn check_batch(change: impl Fn(&mut proto::Batch), expected: &str) {
    let mut batch = proto::Batch::decode(&encode_batch(0, Index(FIRST), &every_kind())[..]).unwrap();
    change(&mut batch);
    assert_eq!(chain(&decode_batch(&batch.encode_to_vec()).unwrap_err()), expected);
}

fn check_snapshot(change: impl Fn(&mut proto::Snapshot), expected: &str) {
    let mut snapshot = proto::Snapshot::decode(&encode_snapshot(&state())[..]).unwrap();
    change(&mut snapshot);
    assert_eq!(chain(&decode_snapshot(&snapshot.encode_to_vec()).unwrap_err()), expected);
}

#[test]
fn an_entry_of_a_later_kind_is_told_apart_from_damage() {
    let mut bytes = encode_batch(0, Index(7), &every_kind()[..2]);
    // Entry (field 4 of a batch): a time and the field 1000, of which this version knows nothing.
    bytes.extend([0x22, 5, 0x08, 1, 0xc2, 0x3e, 0]);
    let error = decode_batch(&bytes).unwrap_err();
    assert!(matches!(error, Error::UnknownFact { index: 9 }), "{error:?}");
}

#[test]
fn a_batch_says_what_is_wrong_with_it() {
    let later = "a batch has format 2, but this program knows only formats from 1 to 1; start the program that wrote it, or a later one";
    check_batch(|batch| batch.format = 2, later);
    check_batch(|batch| batch.first_index = 0, "cannot read a batch: first_index is missing");
    check_batch(|batch| batch.first_index = u64::MAX, "cannot read a batch: first_index can't be 18446744073709551615");
    assert!(matches!(decode_batch(&[]), Err(Error::Format { found: 0, .. })));
    assert!(matches!(decode_snapshot(&[]), Err(Error::Format { found: 0, .. })));
    assert!(matches!(decode_batch(&[0xff]), Err(Error::Undecodable { what: "a batch", .. })));
}

#[test]
fn an_entry_says_which_field_is_wrong() {
    macro_rules! change {
        ($kind:ident, $fact:ident, $change:expr) => {
            |fact: &mut Fact| match fact {
                Fact::$kind($fact) => $change,
                other => unreachable!("{other:?}"),
            }
        };
    }
    check_entry(0, change!(FrameworkChosen, fact, fact.framework.clear()), "framework_chosen.framework is missing");
    check_entry(1, change!(TokenSet, fact, fact.sha256.clear()), "token_set.sha256 is missing");
    check_entry(1, change!(TokenSet, fact, fact.sha256.truncate(31)), "token_set.sha256 has 31 bytes instead of 32");
    check_entry(2, change!(PlatformApplied, fact, fact.desired = None), "platform_applied.desired is missing");
    check_entry(
        2,
        change!(PlatformApplied, fact, fact.desired.as_mut().unwrap().roles[1].cardinality = None),
        "desired.roles.cardinality is missing",
    );
    check_entry(7, change!(LaunchDecided, fact, fact.grant = None), "launch_decided.grant is missing");
    check_entry(
        7,
        change!(LaunchDecided, fact, fact.ports_reserved[0] = 65_536),
        "launch_decided.ports_reserved can't be 65536",
    );
    check_entry(7, change!(LaunchDecided, fact, fact.executor = None), "launch_decided.executor is missing");
    check_entry(
        8,
        change!(KillDecided, fact, fact.task = "worker".to_owned()),
        "kill_decided.task is not a task's name: task id \"worker\" is not well formed",
    );
    check_entry(10, change!(StatusRecorded, fact, fact.state = 99), "status_recorded.state can't be 99");
    check_entry(10, change!(StatusRecorded, fact, fact.state = 0), "status_recorded.state is missing");
    check_entry(
        10,
        change!(StatusRecorded, fact, fact.uuid = Some(vec![1; 15])),
        "status_recorded.uuid has 15 bytes instead of 16",
    );
    check_entry(
        10,
        change!(StatusRecorded, fact, fact.report.as_mut().unwrap().percent = Some(101)),
        "status_recorded.report can't be read: a report has 101 as its percent",
    );
}

#[test]
fn a_snapshot_says_which_object_is_wrong() {
    check_snapshot(|snapshot| snapshot.run = 0, "cannot read a snapshot: run is missing");
    check_snapshot(
        |snapshot| snapshot.tasks.iter_mut().find(|task| task.id == "worker-0.1").unwrap().progress = None,
        "cannot read task worker-0.1: progress is missing",
    );
    check_snapshot(
        |snapshot| snapshot.instances.get_mut("worker-0").unwrap().role.clear(),
        "cannot read instance worker-0: role is missing",
    );
    check_snapshot(
        |snapshot| drop(snapshot.instances.remove("worker-0")),
        "a snapshot contradicts itself: worker-0.1 is an attempt that nobody decided",
    );
    check_snapshot(
        |snapshot| snapshot.tasks.retain(|task| task.id != "worker-0.1"),
        "a snapshot contradicts itself: worker-0 counts on worker-0.1, which isn't there",
    );
}
