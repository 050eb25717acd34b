//! Torn ends, flipped bytes, and files that are gone.

use std::fs;
use std::path::Path;

use epic_scheduler::journal::Journal;
use epic_scheduler::journal::local::Local;
use tempfile::TempDir;

use crate::support::{crashed, fast_dir, files, fill, pack, refusal, segment, snapshot, sum};

const SAID: [&[u8]; 5] = [b"one", b"two two", b"", b"four", b"five five five"];

/// Three batches with a fence at 3, then two more after a crash that the fence doesn't know.
fn unfenced() -> TempDir {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &SAID[..3]);
    journal.close().unwrap();
    let fence = fs::read(state.path().join("fence")).unwrap();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &SAID[3..]);
    journal.close().unwrap();
    fs::write(state.path().join("fence"), fence).unwrap();
    state
}

fn length(payload: &[u8]) -> usize {
    16 + payload.len()
}

#[test]
fn an_end_torn_at_any_byte_above_the_fence_is_cut_and_reported() {
    let state = unfenced();
    let whole = fs::read(segment(state.path(), 1)).unwrap();
    let ends = [0, length(SAID[4]), length(SAID[4]) + length(SAID[3])].map(|after| whole.len() - after);
    for torn in ends[2]..=whole.len() {
        let copy = crashed(state.path());
        fs::write(segment(copy.path(), 1), &whole[..torn]).unwrap();
        let (mut journal, recovered) = Local::open(copy.path()).unwrap();
        let kept = ends.iter().position(|end| *end <= torn).unwrap();
        assert_eq!(sum(&recovered), SAID[..5 - kept], "torn at {torn}");
        let cut = recovered.cut.map(|tail| (tail.file, tail.bytes));
        let bytes = (torn - ends[kept]) as u64;
        assert_eq!(cut, (bytes > 0).then(|| (segment(copy.path(), 1), bytes)), "torn at {torn}");
        fill(&mut journal, &[b"after"]);
        journal.close().unwrap();
        let (_journal, recovered) = Local::open(copy.path()).unwrap();
        assert_eq!(sum(&recovered).last().unwrap(), b"after", "torn at {torn}");
    }
}

#[test]
fn an_end_torn_at_any_byte_below_the_fence_is_an_error_that_changes_nothing() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &SAID);
    journal.close().unwrap();
    let whole = fs::read(segment(state.path(), 1)).unwrap();
    for torn in 0..whole.len() {
        let copy = crashed(state.path());
        fs::write(segment(copy.path(), 1), &whole[..torn]).unwrap();
        let said = refusal(copy.path());
        assert!(said.contains("damaged") || said.contains("was durable"), "torn at {torn}: {said}");
        assert_eq!(fs::read(segment(copy.path(), 1)).unwrap(), whole[..torn], "torn at {torn}");
    }
}

#[test]
fn a_process_that_never_closed_its_journal_left_a_fence_too() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &[b"x".as_slice(); 65]);
    let copy = crashed(state.path());
    let whole = fs::read(segment(copy.path(), 1)).unwrap();
    fs::write(segment(copy.path(), 1), &whole[..24 + 30 * 17]).unwrap();
    let said = refusal(copy.path());
    assert!(said.contains("ends at batch 30, but batch 6") && said.contains("was durable"), "{said}");
}

#[test]
fn a_segment_torn_in_its_header_is_removed_and_made_again() {
    for bytes in 0..24 {
        let state = fast_dir();
        drop(Local::open(state.path()).unwrap());
        fs::write(segment(state.path(), 1), vec![0; bytes]).unwrap();
        let (mut journal, recovered) = Local::open(state.path()).unwrap();
        assert_eq!(recovered.cut.unwrap().bytes, bytes as u64);
        fill(&mut journal, &[b"one"]);
        journal.close().unwrap();
        let (_journal, recovered) = Local::open(state.path()).unwrap();
        assert_eq!(sum(&recovered), [b"one"]);
    }
}

/// Flips every byte of every file, and takes either the same sum or an error; says which errors there were.
///
/// The newest snapshot has to be that of the last batch but one.
fn flip_every_byte(state: &Path, expected: &[&[u8]]) -> Vec<String> {
    let mut refusals = Vec::new();
    for file in files(state) {
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let copy = crashed(state);
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(copy.path().join(file.strip_prefix(state).unwrap()), &bytes).unwrap();
            match Local::open(copy.path()) {
                Ok((_journal, recovered)) => {
                    assert_eq!(sum(&recovered), expected, "byte {at} of {}", file.display());
                    assert_eq!(recovered.cut, None, "byte {at} of {}", file.display());
                    let read = file == snapshot(state, expected.len() as u64 - 1);
                    assert_eq!(recovered.damaged_snapshots.len(), usize::from(read), "byte {at} of {}", file.display());
                }
                Err(error) => refusals.push(format!("{}: {error}", file.display())),
            }
        }
    }
    refusals
}

#[test]
fn every_flipped_byte_gives_the_same_sum_or_an_error() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &SAID[..2]);
    journal.snapshot(2, &pack(&SAID[..2].iter().map(|payload| payload.to_vec()).collect::<Vec<_>>())).unwrap();
    fill(&mut journal, &SAID[2..4]);
    journal.snapshot(4, &pack(&SAID[..4].iter().map(|payload| payload.to_vec()).collect::<Vec<_>>())).unwrap();
    fill(&mut journal, &SAID[4..]);
    journal.close().unwrap();
    let refusals = flip_every_byte(state.path(), &SAID);
    let segment_and_fence = [segment(state.path(), 1), state.path().join("fence")]
        .map(|file| usize::try_from(fs::metadata(file).unwrap().len()).unwrap());
    assert_eq!(refusals.len(), segment_and_fence.iter().sum::<usize>(), "{refusals:#?}");
}

#[test]
fn a_flipped_byte_above_the_fence_is_an_error_when_a_whole_record_follows() {
    let state = unfenced();
    let whole = fs::read(segment(state.path(), 1)).unwrap();
    let fourth = whole.len() - length(SAID[4]) - length(SAID[3]);
    for at in fourth..fourth + length(SAID[3]) {
        let copy = crashed(state.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(segment(copy.path(), 1), &bytes).unwrap();
        let said = refusal(copy.path());
        let place = format!("is damaged at byte {fourth}, in batch 4: ");
        assert!(said.contains(&place) && said.contains("restore the state directory from a backup"), "{said}");
    }
}

#[test]
fn an_unreadable_snapshot_is_set_aside_only_if_the_rest_makes_up_for_it() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &SAID);
    journal.snapshot(5, b"whatever").unwrap();
    journal.close().unwrap();
    let damaged = snapshot(state.path(), 5);
    fs::write(&damaged, b"rubbish").unwrap();
    let without_segments = crashed(state.path());
    fs::rename(segment(without_segments.path(), 1), segment(without_segments.path(), 2)).unwrap();
    assert!(refusal(without_segments.path()).contains("snapshot-00000000000000000005.snap is damaged at byte 0"));
    let (_journal, recovered) = Local::open(state.path()).unwrap();
    assert_eq!(sum(&recovered), SAID);
    assert_eq!(recovered.damaged_snapshots, [damaged]);
}

#[test]
fn a_missing_segment_an_emptied_journal_and_a_missing_fence_are_errors() {
    let state = fast_dir();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    for batch in 1..=70 {
        journal.append(batch, &vec![1; 512 << 10]).unwrap();
    }
    journal.close().unwrap();
    let check = |change: &dyn Fn(&Path), expected: &str| {
        let copy = crashed(state.path());
        change(copy.path());
        let said = refusal(copy.path());
        assert!(said.contains(expected), "{said}");
    };
    let remove = |first: u64| move |state: &Path| fs::remove_file(segment(state, first)).unwrap();
    check(&remove(1), "lacks batch 1: what is left goes on at batch 32");
    check(&remove(32), "lacks batch 32: what is left goes on at batch 63");
    check(&remove(63), "ends at batch 62, but batch 70 was durable; restore");
    check(&|state| fs::remove_dir_all(state.join("journal")).unwrap(), "batch 70 was durable: the journal is gone");
    check(&|state| fs::remove_file(state.join("fence")).unwrap(), "is missing beside a journal that is there");
}
