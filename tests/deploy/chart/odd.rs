//! Values that are unusual and right, and those that were taken away.

use std::fs;

use serde_json::{Map, Value, json};

use super::charted::{Helm, Rendered, values_of};
use super::comments::entries;
use super::objects::{Object, list, objects, only, yaml};
use crate::tools::root;

/// Names that YAML takes for numbers, truths and nothing, unless they are quoted.
const NAMES: &str = r#"{
  "nameOverride": "true", "fullnameOverride": "abc", "imagePullSecrets": ["12"], "priorityClassName": "12",
  "token": {"value": "", "existingSecret": "123", "key": "0440"},
  "zookeeper": {"digest": {"existingSecret": "1e3", "key": "null"}, "tls": {"enabled": true, "existingSecret": "null"}},
  "tls": {"enabled": true, "existingSecret": "12"},
  "mesos": {"master": "", "masterSecret": {"name": "5", "key": "1.5"}, "principal": "{{.Release.Name}}\"'\\",
            "secret": {"existingSecret": "7", "key": "true"}},
  "serviceAccount": {"name": "11"}, "bundle": {"existingClaim": "99", "file": "1"}, "persistence": {"storageClass": "1"},
  "extraArgs": ["--a=\"b\" c: d", "--z={{ 1 }}", "--b=\\", "--c=#x"],
  "metrics": {"serviceMonitor": {"enabled": true}}
}"#;

#[test]
fn a_name_stays_a_name_whatever_it_looks_like() {
    let given: Value = serde_json::from_str(NAMES).unwrap();
    let objects = with(&given, "123");
    let mut seen = 0;
    for object in &objects {
        names(&object.0, "", &mut |at, name| {
            seen += 1;
            assert!(name.is_string(), "{} {} {at} is {name}", object.kind(), object.name());
        });
    }
    assert!(seen > 100, "only {seen} names were looked at");
    let container = &only(&objects, "StatefulSet").containers()[0];
    assert_eq!(container["args"], given["extraArgs"]);
    let principal = list(container.get("env")).iter().find(|one| one["name"] == "EPIC_PRINCIPAL").unwrap();
    assert_eq!(principal["value"], given["mesos"]["principal"]);
}

#[test]
fn users_and_groups_may_have_great_numbers() {
    let values = json!({"securityContext": {"runAsUser": 1_000_660_000, "fsGroup": 1_000_660_000}});
    let folder = tempfile::tempdir().unwrap();
    for helm in Helm::both() {
        let rendered = render(helm, &values, "epic", &folder.path().join("values.yaml")).unwrap();
        assert_eq!(rendered.matches("runAsUser: 1000660000\n").count(), 3, "helm {}", helm.version);
        assert_eq!(rendered.matches("1000660000\n").count(), 9, "helm {}", helm.version);
    }
}

#[test]
fn a_release_that_no_service_can_be_called_by_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for (release, values) in [("1abc", json!({})), ("a.b", json!({})), ("x", json!({"fullnameOverride": "null"}))] {
        let said = render(Helm::newer(), &values, release, &file).unwrap_err();
        assert!(said.contains("which is no name for a Service: set fullnameOverride"), "{release}: {said}");
        assert!(render(Helm::newer(), &json!({"fullnameOverride": "abc"}), release, &file).is_ok(), "{release}");
    }
    let longest = "a".repeat(53);
    let rendered = render(Helm::newer(), &json!({}), &longest, &file).unwrap();
    let pods = format!("{}-14", only(&objects(&rendered), "StatefulSet").name());
    assert!(pods.len() <= 63, "{pods}");
}

#[test]
fn only_what_is_empty_by_default_can_be_taken_away() {
    let text = fs::read_to_string(root().join("helm/epic-mesos/values.yaml")).unwrap();
    let schema = fs::read_to_string(root().join("helm/epic-mesos/values.schema.json")).unwrap();
    let (defaults, schema): (Value, Value) = (yaml(&text), serde_json::from_str(&schema).unwrap());
    let mut nothing = Value::Object(Map::new());
    for entry in entries(&text) {
        let (key, within) = entry.path.split_last().unwrap();
        let name = entry.path.join(".");
        let default = defaults.pointer(&format!("/{}", entry.path.join("/"))).unwrap();
        let group = within.iter().fold(&schema, |schema, key| &schema["properties"][key]);
        let needed = list(group.get("required")).contains(&json!(key));
        let empty = [json!(""), json!([]), json!({})].contains(default);
        // Whoever wants no request and no limit may say so.
        let free = within.first().is_some_and(|first| first == "resources");
        assert_eq!(needed, !empty && !free, "{name}: is it needed?");
        if empty && !["master", "url"].contains(&key.as_str()) {
            let group = within.iter().fold(&mut nothing, |group, key| &mut group[key]);
            group[key] = Value::Null;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for helm in Helm::both() {
        let taken = render(helm, &nothing, "epic", &file);
        assert!(taken.is_ok(), "helm {}: {taken:?}", helm.version);
    }
}

/// Renders the least values and these, as YAML files give them.
fn with(values: &Value, release: &str) -> Vec<Object> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rendered = render(Helm::newer(), values, release, &folder.path().join("values.yaml"));
    objects(&rendered.unwrap_or_else(|why| panic!("{values} can't be rendered: {why}")))
}

fn render(helm: &Helm, values: &Value, release: &str, file: &std::path::Path) -> Rendered {
    fs::write(file, values.to_string()).map_err(|error| error.to_string())?;
    let (least, file) = (values_of("least").display().to_string(), file.display().to_string());
    helm.helm(&["template", release, "helm/epic-mesos", "-n", "456", "--values", &least, "--values", &file])
}

/// Shows all that names something, with where it is.
fn names(value: &Value, at: &str, see: &mut impl FnMut(&str, &Value)) {
    const NAMED: [&str; 8] = [
        "name",
        "namespace",
        "key",
        "secretName",
        "claimName",
        "storageClassName",
        "priorityClassName",
        "serviceAccountName",
    ];
    for (key, below) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        if NAMED.contains(&key.as_str()) || key.starts_with("app.kubernetes.io/") {
            see(&at, below);
        }
        names(below, &at, see);
    }
    for (index, below) in list(Some(value)).iter().enumerate() {
        names(below, &format!("{at}/{index}"), see);
    }
}
