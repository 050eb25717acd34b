//! The dashboard as values: what it asks for, and that its panels are in order.

use std::collections::BTreeSet;

use serde_json::Value;

use super::text;

/// One thing that a panel asks for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) panel: String,
    /// With the variables still in it.
    pub(super) expr: String,
}

fn dashboard() -> Value {
    serde_json::from_str(&text("dashboard.json")).expect("dashboard.json is JSON")
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().expect("a dashboard has panels").iter().collect()
}

/// Lists everything that the panels ask for.
pub(super) fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let mut queries = Vec::new();
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            queries.push(Query { panel: word(&panel["title"]), expr: word(&target["expr"]) });
        }
    }
    queries
}

/// Puts in what a person sees who chooses nothing, and rates over so long.
pub(super) fn filled_in(expr: &str, rate_interval: &str) -> String {
    let every = ["$cluster", "$namespace", "$job"];
    let filled = every.iter().fold(expr.to_owned(), |expr, variable| expr.replace(variable, ".*"));
    filled.replace("$__rate_interval", rate_interval)
}

#[test]
fn panels_have_names_places_and_the_chosen_source() {
    let dashboard = dashboard();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "{panel}");
        assert!(ids.insert(panel["id"].as_u64().expect("an id is a number")), "{title}: its id is another's, too");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{title}: gridPos.{key}"));
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(x + w <= 24 && w > 0 && h > 0, "{title}: a row is 24 wide");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title}: another panel is at {place:?}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} has no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        let targets = panel["targets"].as_array().expect("a panel asks for something");
        let mut letters = BTreeSet::new();
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(letters.insert(target["refId"].as_str()), "{title}: two targets have one refId");
            assert!(target["legendFormat"].is_string(), "{title}");
        }
    }
}

#[test]
fn every_series_is_chosen_by_the_variables() {
    for Query { panel, expr } in queries() {
        let braces = expr.matches('{').count();
        let chosen = expr.matches("cluster=~\"$cluster\",namespace=~\"$namespace\",job=~\"$job\"").count();
        assert!(braces == chosen && braces > 0, "{panel}: {expr}");
    }
}
