//! What is wrong with a document that a person wrote, by path.

use std::fmt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field, such as `spec.workers.count`; empty for the whole document.
    pub path: String,
    /// What was found, and what is allowed.
    pub problem: String,
}

impl Invalid {
    /// Says what is wrong at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

/// All that is wrong with one document, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalids {
    /// What kind of document it is, such as `platform`.
    pub document: &'static str,
    /// In the order of the document.
    pub all: Vec<Invalid>,
}

impl Invalids {
    /// Answers `value` if nothing is wrong.
    ///
    /// # Errors
    ///
    /// All of `all`, unless it is empty.
    pub fn unless_none<T>(document: &'static str, all: Vec<Invalid>, value: T) -> Result<T, Self> {
        if all.is_empty() { Ok(value) } else { Err(Self { document, all }) }
    }
}

impl fmt::Display for Invalids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} is not valid", self.document)?;
        for (nth, invalid) in self.all.iter().enumerate() {
            write!(f, "{} {invalid}", if nth == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// Reads YAML into `T`, bounded: a document of more than 256 KiB or an alias bomb is refused.
///
/// # Errors
///
/// One [`Invalid`] with line and column in its text.
pub fn from_yaml<T: serde::de::DeserializeOwned>(document: &'static str, yaml: &str) -> Result<T, Invalids> {
    const BYTES_MAX: usize = 256 * 1024;
    let refuse = |problem: String| Invalids { document, all: vec![Invalid::new("", problem)] };
    if yaml.len() > BYTES_MAX {
        return Err(refuse(format!("it has {} bytes, at most {BYTES_MAX} are allowed", yaml.len())));
    }
    serde_saphyr::from_str(yaml).map_err(|error| {
        // Its further lines show the document, which has no place in a message.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        refuse(line.strip_prefix("error: ").unwrap_or(line).to_owned())
    })
}
