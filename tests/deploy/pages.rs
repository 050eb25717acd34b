//! What pages for operators say is done as it is printed, in a small data centre; and no block of any page is forgotten.

use std::fs;
use std::path::PathBuf;

use epic_tests::epic::built;
use epic_tests::page::{Notes, Page, Place};

use crate::tools::{output, root, run};

/// In this order: each goes on with the data centre that the one before has left.
const PAGES: [&str; 7] = ["backup", "tls", "rotate", "upgrade", "disaster", "move-zookeeper", "uninstall"];

#[test]
fn operators_can_type_what_the_pages_say() {
    let pages = PAGES.map(|page| format!("docs/how-to/{page}.md"));
    run(&program(), &pages.each_ref().map(String::as_str));
}

#[test]
fn a_page_that_says_what_is_not_so_is_found() {
    let folder = tempfile::tempdir().expect("there is room for a page");
    let page = folder.path().join("page.md");
    let text = "```sh\nssh sched1 cat /etc/hostname\n```\n\n```text\nsched2\n```\n";
    fs::write(&page, text).expect("there is room for a page");
    let followed = output(&program(), &[page.to_str().expect("its name is text")]);
    let said = String::from_utf8_lossy(&followed.stderr);
    assert!(!followed.status.success() && said.contains("\"sched2\" isn't seen: sched1"), "{said}");
}

#[test]
fn every_block_of_every_page_is_typed_or_somebody_says_why_not() {
    let mut typed: Vec<(String, Place)> = Vec::new();
    for file in fs::read_dir(root().join("docs/how-to")).expect("there are pages") {
        let path: PathBuf = file.expect("the folder can be read").path();
        let notes = Notes::of(&path).unwrap_or_else(|error| panic!("{error:#}"));
        if !matches!(notes.place, Place::Nowhere(_)) {
            let page = Page::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
            page.steps(&notes).unwrap_or_else(|error| panic!("{error:#}"));
        }
        typed.push((path.file_stem().expect("it is a file").to_string_lossy().into_owned(), notes.place));
    }
    typed.sort_by(|one, other| one.0.cmp(&other.0));
    let at =
        |place: &Place| typed.iter().filter(|(_, at)| at == place).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let mut in_the_centre = PAGES.to_vec();
    in_the_centre.sort_unstable();
    assert_eq!(at(&Place::Centre), in_the_centre);
    assert_eq!(at(&Place::Cluster), ["kubernetes"]);
    assert_eq!(at(&Place::Machines), ["systemd"]);
    assert_eq!(at(&Place::Engine), ["docker"]);
}

fn program() -> String {
    built("epic-pages").expect("make builds programs before tests").display().to_string()
}
