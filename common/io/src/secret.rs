//! Where a secret comes from: a file that an option names, or a variable of the environment that holds it itself.

use std::fmt;
use std::path::PathBuf;

/// A secret itself, as somebody has said it; it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes what was said.
    #[must_use]
    pub const fn new(said: String) -> Self {
        Self(said)
    }

    /// Returns it, for whoever has to be told.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where one secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In the environment, with which launchers give secrets to whom they start.
    Variable {
        /// The variable's name.
        name: &'static str,
        /// What it holds, without white space around it.
        value: Secret,
    },
}

/// Why a variable can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two places say it, and they may differ.
    #[error("{first} and {name} both give {what}; leave one of them out")]
    Twice {
        /// The option, with its value if that is no secret.
        first: String,
        /// The variable.
        name: &'static str,
        /// What is given.
        what: &'static str,
    },
    /// It holds bytes that are no text.
    #[error("{name} is not text")]
    NotText {
        /// The variable.
        name: &'static str,
    },
}

/// A secret as people know it.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The option that names its file.
    pub option: &'static str,
    /// The variable that holds it.
    pub variable: &'static str,
    /// What it is, for people.
    pub what: &'static str,
}

impl Named {
    /// Chooses between the file that was named and the variable of this process, which holds the secret only if its file
    /// isn't named.
    ///
    /// # Errors
    ///
    /// Both give it, or the variable holds no text.
    pub fn source(self, file: Option<&PathBuf>) -> Result<Option<Source>, Error> {
        self.choose(file, self.value()?)
    }

    /// Returns what the variable of this process holds, without white space around it.
    ///
    /// # Errors
    ///
    /// It holds no text.
    pub fn value(self) -> Result<Option<Secret>, Error> {
        let Some(value) = std::env::var_os(self.variable) else { return Ok(None) };
        let text = value.into_string().map_err(|_| Error::NotText { name: self.variable })?;
        Ok(Some(Secret::new(text.trim().to_owned())))
    }

    /// As [`source`](Self::source), for whoever knows what the variable holds.
    ///
    /// # Errors
    ///
    /// Both give it.
    pub fn choose(self, file: Option<&PathBuf>, value: Option<Secret>) -> Result<Option<Source>, Error> {
        match (file, value) {
            (Some(file), Some(_)) => {
                let first = format!("{} {}", self.option, file.display());
                Err(Error::Twice { first, name: self.variable, what: self.what })
            }
            (Some(file), None) => Ok(Some(Source::File(file.clone()))),
            (None, Some(value)) => Ok(Some(Source::Variable { name: self.variable, value })),
            (None, None) => Ok(None),
        }
    }
}

/// Names the place, never what is there.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable { name, .. } => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Named = Named { option: "--token-file", variable: "EPIC_TOKEN", what: "the token" };

    #[test]
    fn one_place_is_enough_and_two_are_refused_without_telling_the_secret() {
        let (file, value) = (PathBuf::from("/t"), Secret::new("s3cret".to_owned()));
        assert_eq!(TOKEN.choose(None, None), Ok(None));
        assert_eq!(TOKEN.choose(Some(&file), None), Ok(Some(Source::File(file.clone()))));
        let variable = TOKEN.choose(None, Some(value.clone())).unwrap().unwrap();
        assert_eq!(variable.to_string(), "EPIC_TOKEN");
        assert!(!format!("{variable:?}").contains("s3cret"), "{variable:?}");
        let said = TOKEN.choose(Some(&file), Some(value)).unwrap_err().to_string();
        assert_eq!(said, "--token-file /t and EPIC_TOKEN both give the token; leave one of them out");
    }
}
