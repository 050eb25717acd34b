//! What `values.yaml` says of each value: the text above it.

use super::objects::yaml;

/// One value, or a group of values, with what is said of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The keys that lead to it.
    pub(super) path: Vec<String>,
    /// The lines above it, as one.
    pub(super) said: String,
}

/// Lists all keys of a file in which two spaces indent, and comments stand above what they are about.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let (mut found, mut path, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        if let Some(comment) = line.trim_start().strip_prefix("# ") {
            said.push(comment);
        } else if let Some((key, _)) = line.trim_start().split_once(':').filter(|(key, _)| is_key(key)) {
            path.truncate(depth);
            path.push(key.to_owned());
            found.push(Entry { path: path.clone(), said: said.join(" ") });
            said.clear();
        } else {
            said.clear();
        }
    }
    found
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn a_comment_belongs_to_the_key_below_it() {
    let text = "# One,\n# two.\na:\n  # Three.\n  b: 1\n\n# Four.\nc:\n  - d: x\n  - {e: y}\n";
    let found = entries(text);
    let found: Vec<(String, &str)> = found.iter().map(|entry| (entry.path.join("."), entry.said.as_str())).collect();
    assert_eq!(found, [("a".into(), "One, two."), ("a.b".into(), "Three."), ("c".into(), "Four.")]);
    assert_eq!(yaml(text)["c"][0]["d"], "x");
}
