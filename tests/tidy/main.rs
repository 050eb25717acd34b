//! Checks that hold the layout of the repository: crates, modules, words, scripts, pages.
//!
//! Each rule is a function from values to complaints, tried on a broken sample in its own module and on the repository
//! here.

mod crates;
mod files;
mod modules;
mod pages;
mod scripts;
mod words;

use files::Repository;

#[test]
fn no_crate_depends_on_what_it_must_not_know() {
    let crates = crates::read(&Repository::read());
    assert!(crates.len() >= 9, "only {} crates were found", crates.len());
    report(crates.iter().flat_map(crates::edges));
}

#[test]
fn every_crate_but_the_generated_one_inherits_the_lints() {
    report(crates::read(&Repository::read()).iter().flat_map(crates::lints));
}

#[test]
fn every_rust_file_says_what_it_is_and_is_short() {
    report(Repository::read().ending(".rs").flat_map(modules::check));
}

#[test]
fn no_rust_file_puts_off_or_skips_anything() {
    report(Repository::read().ending(".rs").flat_map(words::put_off));
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    report(Repository::read().files.iter().flat_map(words::places));
}

#[test]
fn every_script_stops_at_its_first_error() {
    let repository = Repository::read();
    assert!(repository.files.iter().filter(|file| scripts::is_script(file)).count() >= 4, "scripts were not found");
    report(repository.files.iter().flat_map(scripts::check));
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let repository = Repository::read();
    report(repository.ending(".md").flat_map(|page| pages::links(page, &repository)));
}

#[test]
fn the_map_in_the_architecture_page_is_the_repository() {
    let repository = Repository::read();
    report(pages::map(repository.text("ARCHITECTURE.md"), &repository));
}

#[test]
fn every_crash_in_the_architecture_page_has_its_test() {
    let repository = Repository::read();
    report(pages::crashes(repository.text("ARCHITECTURE.md"), &repository));
}

#[test]
fn the_changelog_has_a_place_for_the_next_change() {
    report(pages::changelog(Repository::read().text("CHANGELOG.md")));
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let repository = Repository::read();
    report(pages::runbooks(repository.text("scheduler/monitoring/rules.yaml"), &repository));
}

#[test]
fn what_runbooks_say_that_schedulers_say_they_say() {
    report(pages::sayings(&Repository::read()));
}

#[test]
fn every_decision_is_in_the_list_of_decisions() {
    report(pages::decisions(&Repository::read()));
}

/// Fails with all complaints at once, so that one run shows all there is to do.
#[track_caller]
fn report(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
