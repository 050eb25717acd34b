//! The reference page that the table makes, and who else names metrics.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::kind::{Kind, Row};
use super::table::ALL;

fn page() -> String {
    let mut page = HEAD.to_owned();
    for Row { name, kind, labels, help } in ALL {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).expect("a string takes all");
    }
    page + TAIL
}

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Lists the metrics of ours that a text names, as the series of histograms, too.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(PREFIX)).collect()
}

fn unknown(text: &str) -> Vec<&str> {
    let is_known = |name: &str| {
        ALL.iter().any(|row| match row.kind {
            Kind::Counter | Kind::Gauge => row.name == name,
            Kind::Histogram => name.strip_prefix(row.name).is_some_and(|rest| SERIES.contains(&rest)),
        })
    };
    named(text).into_iter().filter(|name| !is_known(name)).collect()
}

const PREFIX: &str = "epic_scheduler_";
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];
const HEAD: &str = "# Metrics

`GET /metrics` of each scheduler answers in Prometheus' text format. Names are for ever: a metric that changes its
meaning gets a new name. Rules, alerts and a dashboard that read these are beside the scheduler's source
([how to use them](../how-to/monitoring.md)).

This page is made of the table in `scheduler/src/metrics/table.rs`.

| metric | kind | labels | is |
|---|---|---|---|
";
const TAIL: &str = "
A histogram has the series `_bucket` (with the label `le`), `_sum` and `_count`. The usual `process_*` metrics (CPU
seconds, resident bytes, open files, start time) are there, too. The executor has no metrics of its own: it reports by
status updates.
";

#[test]
fn the_page_on_metrics_is_what_the_table_says() {
    let path = path("../docs/reference/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, page(), "run: UPDATE=1 cargo test -p epic-scheduler --lib the_page_on_metrics");
}

#[test]
fn names_kinds_and_labels_are_as_prometheus_wants_them() {
    for (at, Row { name, kind, labels, help }) in ALL.iter().enumerate() {
        assert!(name.starts_with(PREFIX) && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}: counters end with _total, and only they");
        assert!(!SERIES.iter().any(|end| name.ends_with(end)), "{name}: so ends a histogram's series");
        assert!(help.ends_with('.') && !help.contains(['\n', '|']), "{name}: {help}");
        assert!(labels.iter().all(|label| !["job", "instance", "cluster", "namespace"].contains(label)), "{labels:?}");
        assert!(!ALL[..at].iter().any(|other| other.name == *name), "{name} is there twice");
    }
}

#[test]
fn rules_and_dashboard_read_metrics_that_there_are() {
    for file in ["monitoring/rules.yaml", "monitoring/rules.test.yaml", "monitoring/dashboard.json"] {
        let text = fs::read_to_string(path(file)).unwrap();
        assert!(!named(&text).is_empty(), "{file} names none");
        assert_eq!(unknown(&text), [""; 0], "{file}");
    }
    assert_eq!(
        unknown("rate(epic_scheduler_leaders[5m]) + epic_scheduler_journal_commit_seconds"),
        ["epic_scheduler_leaders", "epic_scheduler_journal_commit_seconds"]
    );
}

#[test]
fn nothing_is_counted_but_by_the_table() {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let macros = [concat!("counter", "!("), concat!("gauge", "!("), concat!("histogram", "!(")];
                if macros.iter().any(|word| text.contains(word)) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&path("src"), &mut found);
    assert_eq!(found, [""; 0], "these count what is not in scheduler/src/metrics/table.rs");
}
