//! Pages say what is there: their links, the map, the lists of changes and decisions, a page for each alert.

use std::collections::BTreeSet;
use std::path::Path;

use crate::files::{File, Repository};

/// Complains of links to files that aren't there.
pub(crate) fn links(page: &File, repository: &Repository) -> Vec<String> {
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for target in prose(&page.text).flat_map(targets) {
        let file = target.split('#').next().unwrap_or_default();
        if target.contains(':') || file.is_empty() {
            continue;
        }
        match join(folder, file) {
            Some(path) if repository.has(&path) => {}
            Some(_) | None => complaints.push(format!("{}: the link to {target} leads nowhere", page.path)),
        }
    }
    complaints
}

/// Complains of folders in the map that aren't there, and of entries of the root that aren't in the map.
///
/// The map is the section "The map": its list or table names files and folders in backticks at the start of a line.
pub(crate) fn map(architecture: &str, repository: &Repository) -> Vec<String> {
    let named: BTreeSet<&str> =
        section(architecture, "The map").lines().flat_map(names).map(|name| name.trim_end_matches('/')).collect();
    let entries = repository.files.iter().map(|file| file.path.split('/').next().unwrap_or_default());
    let entries: BTreeSet<&str> = entries.collect();
    let gone = named.iter().filter(|name| !repository.has(name));
    let gone = gone.map(|name| format!("ARCHITECTURE.md: the map names {name}, which isn't there"));
    let missing = entries.iter().filter(|entry| !named.contains(*entry));
    let missing = missing.map(|entry| format!("ARCHITECTURE.md: the map doesn't name {entry}"));
    gone.chain(missing).collect()
}

/// Complains of tests in the table of crashes that aren't there; they are named `module::function`.
pub(crate) fn crashes(architecture: &str, repository: &Repository) -> Vec<String> {
    let section = section(architecture, "What a crash leaves behind");
    let named = quoted(section, '`').filter_map(|name| name.split_once("::"));
    let gone = named.filter(|(module, function)| {
        let (file, test) = (format!("/{module}.rs"), format!("fn {function}("));
        !repository.ending(&file).any(|file| file.text.contains(&test))
    });
    let mut complaints: Vec<String> =
        gone.map(|(module, function)| format!("ARCHITECTURE.md: there is no test {module}::{function}")).collect();
    if !section.contains("::") {
        complaints.push("ARCHITECTURE.md: the section \"What a crash leaves behind\" names no test".to_owned());
    }
    complaints
}

/// Complains of a changelog without a place for the next change.
pub(crate) fn changelog(text: &str) -> Vec<String> {
    let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if sections.first() == Some(&"## Unreleased") {
        return Vec::new();
    }
    vec![format!("CHANGELOG.md: its first section must be \"## Unreleased\"; it has {sections:?}")]
}

/// Complains of alerts that lead to no page of theirs, of pages without an alert, and of pages that lack a part.
pub(crate) fn runbooks(rules: &str, repository: &Repository) -> Vec<String> {
    let after = |start: &'static str| rules.lines().filter_map(move |line| line.trim_start().strip_prefix(start));
    let alerts: BTreeSet<String> = after("- alert: ").map(|name| format!("{RUNBOOKS}{name}.md")).collect();
    let links: BTreeSet<String> = after("runbook_url: ").map(str::to_owned).collect();
    let files = || repository.ending(".md").filter(|file| file.path.starts_with(RUNBOOKS));
    let pages: BTreeSet<String> = files().map(|file| file.path.clone()).collect();
    let mut complaints = Vec::new();
    if alerts.is_empty() {
        complaints.push("scheduler/monitoring/rules.yaml: no alert is found".to_owned());
    }
    complaints
        .extend(alerts.symmetric_difference(&links).map(|page| format!("{page}: either no alert or no link to it")));
    complaints.extend(alerts.symmetric_difference(&pages).map(|page| format!("{page}: either no alert or no page")));
    for file in files() {
        let lacking = RUNBOOK.iter().filter(|part| !file.text.lines().any(|line| line == **part));
        complaints.extend(lacking.map(|part| format!("{}: lacks the part \"{part}\"", file.path)));
    }
    complaints
}

/// Complains of what runbooks say that schedulers say, and that they don't; "…" stands for any words.
pub(crate) fn sayings(repository: &Repository) -> Vec<String> {
    let sources: Vec<_> = repository.ending(".rs").filter(|file| file.path.starts_with("scheduler/")).collect();
    let mut complaints = Vec::new();
    for file in repository.ending(".md").filter(|file| file.path.starts_with(RUNBOOKS)) {
        let items = section(&file.text, "What to do").lines().filter(|line| line.starts_with("- `"));
        for said in items.flat_map(names).filter(|name| name.contains(' ') && *name != "Connection refused") {
            let parts = said.split('…').map(str::trim);
            let lacking = parts.filter(|part| !sources.iter().any(|source| source.text.contains(part)));
            complaints.extend(lacking.map(|part| format!("{}: no scheduler says \"{part}\"", file.path)));
        }
    }
    complaints
}

/// Complains of decisions that the list doesn't link to, or that lack one of their four parts.
pub(crate) fn decisions(repository: &Repository) -> Vec<String> {
    let listed: BTreeSet<&str> = prose(repository.text(DECISIONS)).flat_map(targets).collect();
    let mut complaints = Vec::new();
    for file in repository.ending(".md").filter(|file| file.path.starts_with("docs/adr/") && file.path != DECISIONS) {
        let name = file.path.trim_start_matches("docs/adr/");
        if !listed.contains(name) {
            complaints.push(format!("{DECISIONS}: doesn't link to {name}"));
        }
        for part in PARTS.iter().filter(|part| !file.text.lines().any(|line| line == **part)) {
            complaints.push(format!("{}: lacks the part \"{part}\"", file.path));
        }
    }
    complaints
}

/// Returns the text below a heading of the second level; empty if there is none.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    page.split("\n## ").find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n')).unwrap_or_default()
}

/// Lists the lines outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !is_fence && !in_code
    })
}

/// Lists where the links of a line lead.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// Lists the names in backticks at the start of an item or a row, as far as commas join them.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let row = line.strip_prefix("| ").or_else(|| line.strip_prefix("- ")).unwrap_or_default();
    let cell = row.split(" |").next().unwrap_or_default();
    let item = if row == cell { cell.split(": ").next().unwrap_or_default() } else { cell };
    quoted(item, '`')
}

fn quoted(text: &str, quote: char) -> impl Iterator<Item = &str> {
    text.lines().flat_map(move |line| line.split(quote).skip(1).step_by(2))
}

/// Follows a relative path; `None` if it leaves the repository.
fn join(folder: &Path, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

const RUNBOOKS: &str = "docs/runbooks/";
const RUNBOOK: [&str; 5] =
    ["## What it means", "## What it costs", "## What to look at", "## What to do", "## When it clears"];
const DECISIONS: &str = "docs/adr/README.md";
const PARTS: [&str; 4] = ["## Context", "## Decision", "## Consequences", "## How to undo it"];

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let repository = Repository::of(&[("docs/a.md", ""), ("README.md", ""), ("docs/adr/1.md", "")]);
    let complaints = |text: &str| links(&File::new("docs/a.md", text), &repository).len();
    assert_eq!(complaints("[a](../README.md#words), [b](adr/1.md), [c](adr/), [d](https://x.org), [e](#here)"), 0);
    assert_eq!(complaints("[a](README.md) and [b](adr/2.md)"), 2);
    assert_eq!(complaints("[a](../../README.md)"), 1);
    assert_eq!(complaints("```\n[a](nowhere)\n```"), 0);
}

#[test]
fn a_map_that_differs_from_the_repository_is_found() {
    let repository = Repository::of(&[("Cargo.toml", ""), ("cli/src/main.rs", "")]);
    let page = |map: &str| format!("# A\n\n## The idea\n`cli/`\n\n## The map\n\n{map}\n\n## More\n- `gone/`\n");
    assert_eq!(map(&page("| `cli/`, `cli/src/` | uses `x` |\n- `Cargo.toml`: the `y`"), &repository), [""; 0]);
    assert_eq!(map(&page("| `cli/` | a |"), &repository), ["ARCHITECTURE.md: the map doesn't name Cargo.toml"]);
    let complaints = map(&page("| `cli/`, `Cargo.toml` | a |\n| `tui/` | b |"), &repository);
    assert_eq!(complaints, ["ARCHITECTURE.md: the map names tui, which isn't there"]);
}

#[test]
fn a_crash_without_its_test_is_found() {
    let repository =
        Repository::of(&[("tests/e2e/crash.rs", "async fn after_it() {"), ("tests/e2e/kit.rs", "fn b() {")]);
    let complaints = |cell: &str| crashes(&format!("\n## What a crash leaves behind\n\n| {cell} |\n"), &repository);
    assert_eq!(complaints("`crash::after_it`"), Vec::<String>::new());
    assert_eq!(complaints("`crash::after_it`, `crash::after`"), ["ARCHITECTURE.md: there is no test crash::after"]);
    assert_eq!(complaints("`crash::b`").len(), 1);
    assert_eq!(complaints("none").len(), 1);
}

#[test]
fn a_changelog_without_a_place_for_the_next_change_is_found() {
    assert_eq!(changelog("# Changelog\n\n## Unreleased\n\n## 0.1.0\n"), Vec::<String>::new());
    assert_eq!(changelog("# Changelog\n\n## 0.1.0\n\n## Unreleased\n").len(), 1);
    assert_eq!(changelog("").len(), 1);
}

#[test]
fn an_alert_without_its_page_and_a_page_without_its_alert_are_found() {
    let whole = RUNBOOK.join("\n\n");
    let rule = |name: &str| format!("      - alert: {name}\n          runbook_url: docs/runbooks/{name}.md\n");
    let of = |rules: &str, text: &str| runbooks(rules, &Repository::of(&[("docs/runbooks/A.md", text)])).len();
    assert_eq!(of(&rule("A"), &whole), 0);
    assert_eq!(of(&(rule("A") + &rule("B")), &whole), 1, "B has no page");
    assert_eq!(of(&rule("B"), &whole), 2, "neither has the page an alert");
    assert_eq!(of(&rule("A").replace("A.md", "B.md"), &whole), 2, "the link leads elsewhere");
    assert_eq!(of(&rule("A"), &whole.replace("## What to do", "")), 1);
    assert_eq!(of("", &whole), 2);
}

#[test]
fn a_saying_that_nobody_says_is_found() {
    let of = |page: &str| {
        let source = ("scheduler/src/a.rs", "\"no master leads at {masters}\"");
        sayings(&Repository::of(&[source, ("docs/runbooks/A.md", page)])).len()
    };
    assert_eq!(of("x\n## What to do\n- `no … leads`, `offer`: y\n- Other: `a b`\n"), 0);
    assert_eq!(of("x\n## What to do\n- `401`, `no leading master`: y\n"), 1);
}

#[test]
fn a_decision_that_is_not_listed_or_lacks_a_part_is_found() {
    let whole = PARTS.join("\n\n");
    let of = |list: &str, text: &str| decisions(&Repository::of(&[(DECISIONS, list), ("docs/adr/0001-a.md", text)]));
    assert_eq!(of("[1](0001-a.md)", &whole), Vec::<String>::new());
    assert_eq!(of("", &whole).len(), 1);
    assert_eq!(of("[1](0001-a.md)", &whole.replace("## Context", "")).len(), 1);
}
