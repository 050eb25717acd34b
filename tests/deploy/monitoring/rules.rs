//! Rules are right, and each alert is tried in both directions.

use std::collections::{BTreeMap, BTreeSet};

use super::{file, install, text};
use crate::tools::run;

/// How often an alert must fire, and must not, in the tests of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tried {
    fires: u32,
    is_quiet: u32,
}

/// Lists what a rule file calls by such a key, such as `- alert: `.
fn named<'a>(rules: &'a str, key: &str) -> BTreeSet<&'a str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix(key)).collect()
}

fn tried(tests: &str) -> BTreeMap<&str, Tried> {
    let mut tried = BTreeMap::<&str, Tried>::new();
    let mut lines = tests.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        let Some(alert) = line.strip_prefix("alertname: ") else { continue };
        match lines.next() {
            Some("exp_alerts: []") => tried.entry(alert).or_default().is_quiet += 1,
            Some("exp_alerts:") => tried.entry(alert).or_default().fires += 1,
            other => panic!("{alert}: exp_alerts comes next, not {other:?}"),
        }
    }
    tried
}

#[test]
fn the_rules_are_rules_and_every_alert_fires_when_it_must() {
    install();
    run("promtool", &["check", "rules", &file("rules.yaml").display().to_string()]);
    run("promtool", &["test", "rules", &file("rules.test.yaml").display().to_string()]);
}

#[test]
fn every_alert_is_tried_in_both_directions() {
    let (rules, tests) = (text("rules.yaml"), text("rules.test.yaml"));
    let (alerts, tried) = (named(&rules, "- alert: "), tried(&tests));
    assert!(alerts.len() >= 15, "only {} alerts were found", alerts.len());
    for alert in &alerts {
        let tried = tried.get(alert).copied().unwrap_or_default();
        assert!(tried.fires > 0 && tried.is_quiet > 0, "{alert}: {tried:?} in rules.test.yaml");
    }
    let gone: Vec<_> = tried.keys().filter(|alert| !alerts.contains(*alert)).collect();
    assert!(gone.is_empty(), "rules.test.yaml tries {gone:?}, which are no alerts");
}

#[test]
fn every_alert_says_how_bad_it_is_for_how_long_and_where_to_read_on() {
    let rules = text("rules.yaml");
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or_default();
        let has = |line: &str| rule.lines().any(|there| there.trim_start().starts_with(line));
        assert!(has("severity: critical") || has("severity: warning"), "{name} has no severity");
        for key in ["for: ", "summary: ", "description: "] {
            assert!(has(key), "{name} lacks {key}");
        }
        assert!(has(&format!("runbook_url: docs/runbooks/{name}.md")), "{name} leads to no page");
    }
}
