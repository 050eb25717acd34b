//! What pages for operators say is done as it is printed, in a small data centre.

use epic_tests::epic::built;

use crate::tools::{output, run};

/// In this order: each goes on with the data centre that the one before has left.
const PAGES: [&str; 6] = ["backup", "rotate", "upgrade", "disaster", "move-zookeeper", "uninstall"];

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
    std::fs::write(&page, text).expect("there is room for a page");
    let followed = output(&program(), &[page.to_str().expect("its name is text")]);
    let said = String::from_utf8_lossy(&followed.stderr);
    assert!(!followed.status.success() && said.contains("\"sched2\" isn't seen: sched1"), "{said}");
}

fn program() -> String {
    built("epic-pages").expect("make builds programs before tests").display().to_string()
}
