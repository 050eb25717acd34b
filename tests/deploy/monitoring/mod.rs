//! Rules, dashboard and scrape examples, given to promtool, Prometheus and Alertmanager.

mod dashboard;
mod live;
mod rules;
mod scrape;
mod stack;

use std::fs;
use std::path::PathBuf;

use epic_tests::kit;

use crate::tools::root;

/// Returns the path of a file beside the rules.
fn file(name: &str) -> PathBuf {
    root().join("scheduler/monitoring").join(name)
}

/// Reads a file beside the rules.
fn text(name: &str) -> String {
    let path = file(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} can't be read: {error}", path.display()))
}

/// Makes sure that promtool, Prometheus and Alertmanager are there.
fn install() {
    kit::install("prometheus").expect("tests/setup.sh installs prometheus");
}
