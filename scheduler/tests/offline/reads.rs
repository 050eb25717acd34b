//! What `show`, `verify` and `backup` say of a state directory, which they leave as it is.

use std::fs;

use epic_common_io::backup;
use epic_scheduler::journal::codec;
use epic_scheduler::journal::local::Local;
use serde_json::Value;

use crate::desk::{Desk, FRAMEWORK, chosen, more};

#[test]
fn a_state_is_shown_to_people_and_to_programs() {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    desk.snapshot("s");
    desk.decided("s", more(2));
    let said = desk.done("state show ~s");
    for line in [
        &format!("framework  {FRAMEWORK}"),
        "role       BlueData",
        "platform   none",
        "entry      4, decided at 2027-01-15T08:00:00Z",
        "batch      4",
        "snapshot   of batch 2",
        "tasks      0",
        "leader     none",
        "moved to   none",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} is not in\n{said}");
    }
    let json: Value = serde_json::from_str(&desk.done("state show ~s --output json")).unwrap();
    assert_eq!((&json["framework"], &json["index"], &json["batch"]), (&FRAMEWORK.into(), &4.into(), &4.into()));
    assert_eq!((&json["snapshot"], &json["movedTo"]), (&2.into(), &Value::Null));
}

#[test]
fn what_is_whole_is_verified_and_what_is_damaged_is_named() {
    let desk = Desk::new();
    let verify = "state verify ~s";
    desk.decided("s", chosen(FRAMEWORK));
    desk.snapshot("s");
    desk.decided("s", more(2));
    desk.snapshot("s");
    desk.decided("s", more(3));
    let said = desk.done(verify);
    assert_eq!(said, "~s: whole, up to entry 7 in batch 7, with 0 members and 0 tasks\n");
    let (older, newer) = ("journal/snapshot-00000000000000000002.snap", "journal/snapshot-00000000000000000004.snap");
    let whole = |name: &str| fs::read(desk.path(&format!("s/{name}"))).unwrap();
    let (old, new) = (whole(older), whole(newer));
    // The next start would do without either, and nobody would know until both are needed.
    desk.damage(&format!("s/{older}"));
    desk.refused(verify, 65, &[&format!("~s/{older} is damaged at byte 24")]);
    fs::write(desk.path(&format!("s/{older}")), old).unwrap();
    desk.damage(&format!("s/{newer}"));
    desk.refused(verify, 65, &[&format!("~s/{newer} is damaged at byte 24")]);
    fs::write(desk.path(&format!("s/{newer}")), new).unwrap();
    desk.damage("s/journal/segment-00000000000000000001.log");
    desk.refused(verify, 65, &["~s/journal/segment-00000000000000000001.log is damaged at byte ", ", in batch "]);
    desk.refused("state show ~s", 65, &["is damaged at byte"]);
    desk.refused("state verify ~none", 65, &["~none holds no journal"]);
}

#[test]
fn the_end_of_an_interrupted_append_is_no_damage_and_stays_there() {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    let segment = desk.path("s/journal/segment-00000000000000000001.log");
    let torn = [fs::read(&segment).unwrap(), vec![7; 5]].concat();
    fs::write(&segment, &torn).unwrap();
    let said = desk.done("state verify ~s");
    assert!(said.contains("ends with 5 bytes of an interrupted append"), "{said}");
    assert_eq!(fs::read(&segment).unwrap(), torn, "nothing is changed");
}

#[test]
fn a_backup_is_one_new_file_with_all_of_the_state() {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    desk.snapshot("s");
    let state = desk.decided("s", more(3));
    let said = desk.done("state backup ~s ~b");
    assert!(said.starts_with("~b: written, ") && said.ends_with(" bytes, the state after entry 5\n"), "{said}");
    let read = backup::read(&desk.path("b")).unwrap();
    assert_eq!((read.index, read.batch, read.journal.as_str()), (5, 5, ""));
    assert_eq!(codec::decode_snapshot(&read.snapshot).unwrap(), state);
    desk.refused("state backup ~s ~b", 64, &["~b is there already", "choose another name"]);
    desk.refused("state backup ~s ~none/b", 74, &["cannot write into ~none"]);
}

#[test]
fn what_a_scheduler_uses_is_asked_for_over_http_instead() {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    desk.done("state backup ~s ~b");
    let held = Local::open(desk.path("s")).unwrap();
    for line in ["state show ~s", "state verify ~s", "state backup ~s ~c"] {
        desk.refused(line, 74, &["~s is in use by pid ", "epicctl admin backup FILE"]);
    }
    for line in ["state restore ~b --state-dir ~s --yes", "state publish --state-dir ~s --zk zk://127.0.0.1:1/e --yes"]
    {
        desk.refused(line, 74, &["state directory ~s is in use by pid "]);
    }
    drop(held);
    desk.done("state show ~s");
}
