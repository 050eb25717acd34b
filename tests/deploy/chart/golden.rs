//! The whole of what is rendered, so that a change of a template is seen by whoever reviews it.

use std::fs;

use super::charted::{Helm, SETS, values_of};

#[test]
fn both_versions_render_what_was_reviewed() {
    for set in SETS {
        let golden = values_of(set).with_file_name("golden.yaml");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, plain(&Helm::newer().template(&values_of(set), &[]).unwrap())).unwrap();
        }
        let reviewed = fs::read_to_string(&golden).unwrap_or_default();
        for helm in Helm::both() {
            let rendered = plain(&helm.template(&values_of(set), &[]).unwrap());
            let differs = rendered.lines().zip(reviewed.lines()).position(|(one, other)| one != other);
            let at = differs.unwrap_or_else(|| rendered.lines().count().min(reviewed.lines().count()));
            let shown: Vec<&str> = rendered.lines().skip(at.saturating_sub(3)).take(8).collect();
            assert!(
                rendered == reviewed,
                "helm {} renders {set} otherwise from line {}:\n{}\nif it should: UPDATE=1 cargo test -p epic-tests --test \
                 deploy both_versions_render_what_was_reviewed",
                helm.version,
                at + 1,
                shown.join("\n")
            );
        }
    }
}

/// Leaves out blank lines, of which one version has more, and the alert rules, which have their own tests.
fn plain(rendered: &str) -> String {
    let mut plain = String::new();
    let (mut of_rules, mut skipped) = (false, false);
    for line in rendered.lines().filter(|line| !line.trim().is_empty()) {
        if line == "---" {
            (of_rules, skipped) = (false, false);
        }
        of_rules |= line == "kind: PrometheusRule";
        if !skipped {
            plain.push_str(line.trim_end());
            plain.push('\n');
        }
        skipped |= of_rules && line == "spec:";
    }
    plain
}

#[test]
fn a_line_more_is_seen_and_a_blank_one_is_not() {
    assert_eq!(plain("a: 1\n\n  \nb: 2\n"), plain("a: 1\nb: 2"));
    assert_ne!(plain("a: 1\nb: 2"), plain("a: 1\nb: 3"));
    assert_eq!(plain("kind: PrometheusRule\nspec:\n  x\n---\ny\n"), "kind: PrometheusRule\nspec:\n---\ny\n");
}
