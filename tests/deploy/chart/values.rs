//! The values, their schema and their page say the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::comments::{Entry, entries};
use super::objects::{list, yaml};
use crate::tools::root;

const PAGE: &str = "docs/reference/chart-values.md";
const INTRODUCTION: &str = "# Values of the chart

What can be said to `helm install epic-mesos helm/epic-mesos --values FILE`; [how to run replicas on
Kubernetes](../how-to/kubernetes.md) says what to say first. A value that isn't here is refused.

| value | default | may be | is |
|---|---|---|---|
";

#[test]
fn the_schema_says_what_the_comments_say() {
    let (text, schema) = (read("helm/epic-mesos/values.yaml"), schema());
    for Entry { path, said } in entries(&text) {
        let name = path.join(".");
        let described = described(&schema, &path).unwrap_or_else(|| panic!("values.schema.json doesn't know {name}"));
        assert!(said.ends_with('.'), "{name} isn't explained by a sentence: \"{said}\"");
        assert_eq!(described["description"], said.as_str(), "{name}");
    }
}

#[test]
fn the_schema_knows_no_more_than_there_is() {
    let text = read("helm/epic-mesos/values.yaml");
    let known: BTreeSet<String> = entries(&text).iter().map(|entry| entry.path.join(".")).collect();
    let mut names = Vec::new();
    leaves(&schema(), "", &mut names);
    for name in names {
        // Nothing is said of some resources by default, and helm gives the values of a chart that this one is a part of.
        let extra = name == "global" || name.starts_with("resources.");
        assert!(extra || known.contains(&name), "values.yaml lacks {name}");
    }
}

#[test]
fn the_schema_is_closed_at_every_level() {
    let mut open = Vec::new();
    unclosed(&schema(), "", &mut open);
    let free: BTreeSet<&str> = open.iter().map(String::as_str).collect();
    // What these hold is Kubernetes' own, or somebody else's.
    let expected = [
        "/properties/affinity/properties/nodeAffinity",
        "/properties/affinity/properties/podAffinity",
        "/properties/affinity/properties/podAntiAffinity",
        "/properties/extraEnv/items/properties/valueFrom/properties/configMapKeyRef",
        "/properties/extraEnv/items/properties/valueFrom/properties/fieldRef",
        "/properties/extraEnv/items/properties/valueFrom/properties/resourceFieldRef",
        "/properties/extraEnv/items/properties/valueFrom/properties/secretKeyRef",
        "/properties/global",
        "/properties/networkPolicy/properties/apiFrom/items/properties/namespaceSelector",
        "/properties/networkPolicy/properties/apiFrom/items/properties/podSelector",
        "/properties/networkPolicy/properties/egress/properties/extra/items/properties/ports/items",
        "/properties/networkPolicy/properties/egress/properties/extra/items/properties/to/items",
    ];
    assert_eq!(free, BTreeSet::from(expected));
}

#[test]
fn the_page_on_values_is_made_of_them() {
    let page = page();
    let file = root().join(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(there, page, "run: UPDATE=1 cargo test -p epic-tests --test deploy the_page_on_values");
}

fn page() -> String {
    let text = read("helm/epic-mesos/values.yaml");
    let (values, schema) = (yaml(&text), schema());
    let mut page = INTRODUCTION.to_owned();
    for Entry { path, said } in entries(&text) {
        let default = values.pointer(&format!("/{}", path.join("/"))).unwrap_or(&Value::Null);
        let described = described(&schema, &path).unwrap_or(&Value::Null);
        let group = described.get("properties").is_some() && default.as_object().is_some_and(|map| !map.is_empty());
        let default = if group { String::new() } else { format!("`{default}`") };
        let (name, may) = (path.join("."), if group { String::new() } else { allowed(described) });
        writeln!(page, "| `{name}` | {default} | {may} | {} |", said.replace('|', "\\|")).expect("a string takes all");
    }
    page
}

/// Says what a value may be, as far as a few words can.
fn allowed(schema: &Value) -> String {
    let number = |key: &str| schema[key].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let choices: Vec<String> = list(schema.get("enum")).iter().map(|one| format!("`{}`", plain(one))).collect();
    match schema["type"].as_str() {
        None if !choices.is_empty() => choices.join(", "),
        None => "a quantity".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => format!("{} to {}", number("minimum"), number("maximum")),
        Some("array") => format!("a list of at most {}", number("maxItems")),
        Some("object") => "a map".to_owned(),
        Some(other) => format!("a {other}"),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn described<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |schema, key| schema.get("properties")?.get(key))
}

fn leaves(schema: &Value, name: &str, names: &mut Vec<String>) {
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        // What Kubernetes has below affinity is not in values.yaml.
        if name != "affinity" {
            leaves(below, &name, names);
        }
        names.push(name);
    }
}

/// Lists where an object may hold what nobody has named; a map of one kind of value names its keys by that.
fn unclosed(schema: &Value, at: &str, open: &mut Vec<String>) {
    let Some(parts) = schema.as_object() else { return };
    if schema["type"] == "object" && !parts.contains_key("additionalProperties") {
        open.push(at.to_owned());
    }
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        unclosed(below, &format!("{at}/properties/{key}"), open);
    }
    if let Some(items) = parts.get("items") {
        unclosed(items, &format!("{at}/items"), open);
    }
}

fn schema() -> Value {
    serde_json::from_str(&read("helm/epic-mesos/values.schema.json")).expect("the schema is JSON")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} can't be read: {error}"))
}
