//! Kubernetes' objects as values.

use serde_json::Value;

/// One object that the chart makes.
#[derive(Clone, Debug)]
pub(super) struct Object(pub(super) Value);

impl Object {
    pub(super) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Tells whether another tool's definitions must be there for it.
    pub(super) fn is_custom(&self) -> bool {
        self.text("/apiVersion").starts_with("monitoring.coreos.com/")
    }

    /// Returns what is at a pointer such as `/spec/replicas`; null if nothing is.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Returns the text at a pointer; empty if none is.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// Returns the pod that it is, or makes; null if it has to do with none.
    pub(super) fn pod(&self) -> &Value {
        match self.kind() {
            "Pod" => &self.0,
            "StatefulSet" | "Job" => self.at("/spec/template"),
            _ => &Value::Null,
        }
    }

    /// Lists the containers of that pod.
    pub(super) fn containers(&self) -> &[Value] {
        list(self.pod().pointer("/spec/containers"))
    }
}

/// Returns the items of a list; nothing is an empty one.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Divides what helm has written into objects.
///
/// # Panics
///
/// It isn't YAML.
pub(super) fn objects(rendered: &str) -> Vec<Object> {
    let texts = rendered.split("\n---").map(|text| text.trim_start_matches("---"));
    let texts = texts.filter(|text| text.lines().any(|line| line.starts_with("kind:")));
    texts.map(|text| Object(yaml(text))).collect()
}

/// Reads one YAML document.
///
/// # Panics
///
/// It isn't YAML.
pub(super) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("this is no YAML: {error}\n{text}"))
}

/// Finds the only object of a kind.
///
/// # Panics
///
/// There is none, or there are several.
pub(super) fn only<'a>(objects: &'a [Object], kind: &str) -> &'a Object {
    let found: Vec<&Object> = objects.iter().filter(|object| object.kind() == kind).collect();
    let [one] = found[..] else { panic!("there are {} of {kind}", found.len()) };
    one
}
