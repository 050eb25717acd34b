//! A journal that was moved to ZooKeeper is gone on from there, and nowhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use epic_scheduler_core::state::entry::Fact;

use crate::desk::{Desk, FRAMEWORK, chosen, more};

const URL: &str = "zk://127.0.0.1:1/epic";
const START: &str = "--master=127.0.0.1:1 --listen=127.0.0.1:0 --token-file=~token --state-dir=~s --executor=/bin/true";

fn moved() -> Desk {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    desk.decided("s", more(1));
    fs::write(desk.path("token"), "0123456789abcdef").unwrap();
    fs::set_permissions(desk.path("token"), Permissions::from_mode(0o600)).unwrap();
    desk.done("state backup ~s ~b");
    desk.decided("s", vec![Fact::MovedTo { url: URL.to_owned() }]);
    desk
}

#[test]
fn nobody_starts_alone_on_it_or_elsewhere() {
    let desk = moved();
    let text = format!("the journal of the state directory ~s was moved to {URL}");
    desk.refused(START, 64, &[&text, &format!("start with --zk {URL}")]);
    desk.refused(&format!("{START} --check"), 64, &[&text]);
    let other = "zk://127.0.0.1:1/other";
    desk.refused(&format!("{START} --zk={other}"), 64, &[&text, &format!("--zk says {other}")]);
    desk.refused(&format!("{START} --zk={other} --check"), 64, &[&text]);
    // A server more or less is no other place.
    desk.done(&format!("{START} --zk=zk://127.0.0.2:1,127.0.0.1:1/epic --check"));
    let still = desk.state("s");
    assert_eq!(still.identity.moved_to.as_deref(), Some(URL));
}

#[test]
fn a_journal_that_did_not_move_is_no_replicas() {
    let desk = Desk::new();
    desk.decided("s", chosen(FRAMEWORK));
    fs::write(desk.path("token"), "0123456789abcdef").unwrap();
    let parts =
        ["~s holds a journal of its own", "epic-scheduler state publish --state-dir ~s --zk zk://127.0.0.1:1/epic"];
    desk.refused(&format!("{START} --zk={URL}"), 64, &parts);
}

#[test]
fn no_backup_is_made_of_it_and_one_restored_over_it_needs_yes() {
    let desk = moved();
    desk.refused("state backup ~s ~c", 64, &["was moved to zk://127.0.0.1:1/epic", "epicctl admin backup FILE"]);
    assert!(desk.done("state show ~s").contains(&format!("moved to   {URL}")));
    let over = "state restore ~b --state-dir ~s";
    desk.refused(over, 64, &["was moved to zk://127.0.0.1:1/epic, and replicas may go on from it", "with --yes"]);
    desk.done(&format!("{over} --yes"));
    assert_eq!(desk.state("s").identity.moved_to, None);
}

#[test]
fn what_cannot_be_moved_is_left_as_it_is() {
    let desk = Desk::new();
    let publish = "state publish --state-dir ~s --zk zk://me:secret@127.0.0.1:1/epic";
    desk.refused(publish, 64, &["~s holds no journal"]);
    assert!(!desk.path("s").exists());
    desk.decided("s", Vec::new());
    desk.refused(publish, 64, &["the journal of ~s is empty", "epic-scheduler init --zk"]);
    let before = desk.decided("s", chosen(FRAMEWORK));
    let would = format!("would move the journal of ~s to {URL}: {FRAMEWORK}, 0 members, entry 2");
    desk.refused(publish, 64, &[&would, "nothing was done, repeat it with --yes"]);
    // Nobody is there.
    let (code, _, error) = desk.types(&format!("{publish} --yes --zk-session-timeout 4s"));
    assert_eq!(code, 69, "{error}");
    assert!(error.contains("127.0.0.1:1") && !error.contains("secret"), "{error}");
    assert_eq!(desk.state("s"), before);
}

#[test]
fn nobody_starts_alone_where_a_replica_has_its_copy() {
    let desk = Desk::new();
    fs::create_dir(desk.path("s")).unwrap();
    fs::write(desk.path("token"), "0123456789abcdef").unwrap();
    fs::set_permissions(desk.path("token"), Permissions::from_mode(0o600)).unwrap();
    fs::write(desk.path("s/store.fence"), "whatever").unwrap();
    let parts = ["the state directory ~s belongs to a replica", "start with that --zk", "epic-scheduler state forget"];
    desk.refused(START, 64, &parts);
    desk.refused(&format!("{START} --check"), 64, &parts);
    assert!(!desk.path("s/journal").exists(), "a journal was begun");
    desk.done("state forget ~s --yes");
    desk.done(&format!("{START} --check"));
}
