//! A backup becomes a journal, and nothing that it replaces is lost.

use std::fs;

use epic_common_io::backup;
use epic_scheduler::journal::Journal as _;
use epic_scheduler::journal::local::Local;
use epic_scheduler_core::state::State;

use crate::desk::{Desk, FRAMEWORK, chosen, more, names};

const RESTORE: &str = "state restore ~b --state-dir ~new";

/// A backup `b` of five entries of `s`.
fn backed_up() -> (Desk, State) {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    let mut state = desk.decided("s", more(3));
    desk.done("state backup ~s ~b");
    state.skip_ahead();
    (desk, state)
}

#[test]
fn a_backup_is_restored_to_a_directory_that_has_none_and_goes_on_from_there() {
    let (desk, state) = backed_up();
    let said = desk.done(RESTORE);
    assert_eq!(said, format!("~new: begins with the state after entry 5 of framework {FRAMEWORK}\n"));
    assert_eq!(desk.state("new"), state);
    desk.done("state verify ~new");
    let (mut journal, recovered) = Local::open(desk.path("new")).unwrap();
    assert_eq!((journal.position(), recovered.cut), (5, None));
    journal.append(6, b"x").unwrap();
    journal.close().unwrap();
    assert_eq!(desk.recovered("new").batches, [(6, b"x".to_vec())]);
}

#[test]
fn the_same_framework_is_brought_forward_without_being_asked_twice() {
    let (desk, state) = backed_up();
    desk.decided("new", chosen(FRAMEWORK));
    let said = desk.done(RESTORE);
    assert!(said.ends_with("the old journal is now ~new/journal.before-restore-1\n"), "{said}");
    assert_eq!(desk.state("new"), state);
    // Once more is at the same entry.
    let said = desk.done(RESTORE);
    assert!(said.ends_with("the old journal is now ~new/journal.before-restore-2\n"), "{said}");
    assert_eq!(desk.state("new"), state);
}

#[test]
fn going_back_needs_yes_and_sets_the_old_journal_aside_whole() {
    let (desk, state) = backed_up();
    desk.decided("new", chosen(FRAMEWORK));
    let newer = desk.decided("new", more(9));
    let parts = ["it is at entry 11, and the backup goes back to entry 5", "nothing was done, repeat it with --yes"];
    desk.refused(RESTORE, 64, &parts);
    assert_eq!(desk.state("new"), newer);
    desk.done(&format!("{RESTORE} --yes"));
    assert_eq!(desk.state("new"), state);
    // It can be put back by hand.
    fs::create_dir(desk.path("old")).unwrap();
    fs::rename(desk.path("new/journal.before-restore-1"), desk.path("old/journal")).unwrap();
    fs::rename(desk.path("old/journal/fence"), desk.path("old/fence")).unwrap();
    assert_eq!(desk.state("old"), newer);
}

#[test]
fn another_framework_or_a_damaged_journal_needs_yes() {
    let (desk, state) = backed_up();
    desk.decided("new", chosen("another"));
    let parts = ["it belongs to framework another, the backup to framework 5f0c7b1e", "repeat it with --yes"];
    desk.refused(RESTORE, 64, &parts);
    desk.damage("new/journal/segment-00000000000000000001.log");
    desk.refused(RESTORE, 64, &["the journal that is there can't be read (", "is damaged", "repeat it with --yes"]);
    desk.done(&format!("{RESTORE} --yes"));
    assert_eq!(desk.state("new"), state);
    fs::remove_dir_all(desk.path("new/journal")).unwrap();
    desk.refused(RESTORE, 64, &["the journal that is there can't be read (", "the journal is gone"]);
    desk.done(&format!("{RESTORE} --yes"));
    assert_eq!(desk.state("new"), state);
}

#[test]
fn whatever_an_interrupted_restore_left_does_not_look_new() {
    let (desk, state) = backed_up();
    desk.decided("new", chosen(FRAMEWORK));
    // It died between setting the old journal aside and putting the new one in place.
    fs::rename(desk.path("new/journal"), desk.path("new/journal.before-restore-1")).unwrap();
    fs::create_dir(desk.path("new/journal.new")).unwrap();
    fs::write(desk.path("new/journal.new/snapshot-00000000000000000009.snap"), "torn").unwrap();
    assert!(Local::open(desk.path("new")).is_err(), "an empty journal was begun");
    desk.done(&format!("{RESTORE} --yes"));
    assert_eq!(desk.state("new"), state);
    let left = names(&desk.path("new"));
    assert!(!left.contains(&"journal.new".to_owned()), "{left:?}");
}

#[test]
fn a_file_that_is_no_whole_backup_is_refused_and_nothing_is_made() {
    let (desk, _) = backed_up();
    desk.damage("b");
    desk.refused(RESTORE, 65, &["~b cannot be used as a backup: its sha256 is wrong"]);
    fs::write(desk.path("b"), "not one").unwrap();
    desk.refused(RESTORE, 65, &["~b cannot be used as a backup: it does not begin as a backup does"]);
    let lying = backup::Backup { index: 9, batch: 1, journal: String::new(), snapshot: vec![8, 1] };
    fs::write(desk.path("b"), lying.encode()).unwrap();
    desk.refused(RESTORE, 65, &["~b: "]);
    fs::remove_file(desk.path("b")).unwrap();
    desk.refused(RESTORE, 74, &["cannot open ~b"]);
    assert!(!desk.path("new").exists());
    desk.refused("state restore ~b", 64, &["--state-dir <DIR>"]);
    desk.refused("state restore ~b --state-dir ~new --zk zk://127.0.0.1:1/e", 64, &["cannot be used with"]);
}
