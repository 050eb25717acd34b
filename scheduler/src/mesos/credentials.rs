//! The name and secret that a master knows us by.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use epic_common_io::secret::Source;
use reqwest::RequestBuilder;
use tracing::warn;

/// A principal and its secret, for HTTP basic authentication.
#[derive(Clone)]
pub struct Credentials {
    principal: String,
    secret: String,
    source: Source,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The principal can't be sent by basic authentication (RFC 7617).
    #[error("principal {principal:?} cannot be used: it must not be empty, nor hold a colon or control characters")]
    Principal {
        /// The principal.
        principal: String,
    },
    /// The file can't be read.
    #[error("cannot read secret file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is something else than one secret.
    #[error("{place} {problem}; it must hold the secret alone, on one line")]
    Secret {
        /// The file or the variable.
        place: String,
        /// What is wrong with it, as a verb phrase.
        problem: &'static str,
    },
}

impl Credentials {
    /// Takes the secret from where it is: one line of at most 4 KiB, in a file with or without a line feed at its end.
    ///
    /// Warns in the log if others than the owner and the group can use the file: a service reads what root owns by its group.
    ///
    /// # Errors
    /// When the principal, the file or the variable can't be used.
    pub fn load(principal: &str, source: Source) -> Result<Self, Error> {
        if principal.is_empty() || principal.contains(|c: char| c == ':' || c.is_control()) {
            return Err(Error::Principal { principal: principal.to_owned() });
        }
        let secret = secret(&source)?;
        if let Source::File(file) = &source
            && fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o007 != 0)
        {
            warn!(file = %file.display(), "secret file can be read or written by every user");
        }
        Ok(Self { principal: principal.to_owned(), secret, source })
    }

    /// Takes the secret anew from where it was; a variable can't have changed.
    ///
    /// # Errors
    /// When the file can't be used any more.
    pub(super) fn again(&self) -> Result<Self, Error> {
        Ok(Self { secret: secret(&self.source)?, ..self.clone() })
    }

    /// Returns the principal; the framework's must be the same.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Adds the header to a request, marked as secret.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.principal, Some(&self.secret))
    }
}

/// Says whether the secret can be taken from where it is, and nothing of who else can.
///
/// # Errors
/// The file or the variable can't be used.
pub(crate) fn look(source: &Source) -> Result<(), Error> {
    secret(source).map(drop)
}

fn secret(source: &Source) -> Result<String, Error> {
    let text = match source {
        Source::File(file) => read(file)?,
        Source::Variable { value, .. } => value.expose().to_owned(),
    };
    let wrong = |problem| {
        let place = match source {
            Source::File(file) => format!("secret file {}", file.display()),
            Source::Variable { name, .. } => (*name).to_owned(),
        };
        Error::Secret { place, problem }
    };
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    if secret.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(wrong("is over 4 KiB"));
    }
    if secret.contains(char::is_control) {
        return Err(wrong("has more than one line, or control characters"));
    }
    Ok(secret.to_owned())
}

fn read(file: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable { path: file.to_owned(), source };
    let wrong = |problem| Error::Secret { place: format!("secret file {}", file.display()), problem };
    if fs::metadata(file).map_err(unreadable)?.len() > SECRET_BYTES_MAX {
        return Err(wrong("is over 4 KiB"));
    }
    String::from_utf8(fs::read(file).map_err(unreadable)?).map_err(|_| wrong("is not text"))
}

/// Keeps the secret out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("principal", &self.principal).finish_non_exhaustive()
    }
}

const SECRET_BYTES_MAX: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use epic_common_io::secret::Secret;

    use super::*;

    #[test]
    fn a_secret_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let check = |bytes: &[u8], expected: Result<&str, &str>| {
            fs::write(&file, bytes).unwrap();
            match (Credentials::load("epic", Source::File(file.clone())), expected) {
                (Ok(credentials), Ok(secret)) => {
                    assert_eq!(credentials.secret, secret);
                    assert!(!format!("{credentials:?}").contains(secret));
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{bytes:?} gave {found:?}"),
            }
        };
        check(b"s3cret", Ok("s3cret"));
        check(b" with blanks \n", Ok(" with blanks "));
        check(b"", Err("secret is empty"));
        check(b"\n", Err("secret is empty"));
        check(b"one\ntwo\n", Err("more than one line"));
        check(b"one\r\n", Err("more than one line, or control characters"));
        check(b"\xff", Err("is not text"));
        check(&[b'x'; 5000], Err("is over 4 KiB"));
    }

    #[test]
    fn a_principal_that_cannot_be_sent_or_a_missing_file_is_refused() {
        let missing = Source::File("/nonexistent/secret".into());
        for principal in ["", "a:b", "a\nb"] {
            assert!(
                matches!(Credentials::load(principal, missing.clone()), Err(Error::Principal { .. })),
                "{principal:?}"
            );
        }
        let error = Credentials::load("epic", missing).unwrap_err();
        assert_eq!(error.to_string(), "cannot read secret file /nonexistent/secret");
    }

    #[test]
    fn a_variable_is_held_to_the_same_and_named() {
        let check = |text: &str| {
            let value = Secret::new(text.to_owned());
            let loaded = Credentials::load("epic", Source::Variable { name: "EPIC_SECRET", value });
            loaded.map(|credentials| credentials.secret).map_err(|error| error.to_string())
        };
        assert_eq!(check("s3cret"), Ok("s3cret".to_owned()));
        let needs = "it must hold the secret alone, on one line";
        assert_eq!(check(""), Err(format!("EPIC_SECRET is empty; {needs}")));
        assert_eq!(
            check("s3cret\nmore"),
            Err(format!("EPIC_SECRET has more than one line, or control characters; {needs}"))
        );
        assert_eq!(check(&"x".repeat(5000)), Err(format!("EPIC_SECRET is over 4 KiB; {needs}")));
    }

    #[test]
    fn a_secret_that_has_changed_is_taken_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "first").unwrap();
        let first = Credentials::load("epic", Source::File(file.clone())).unwrap();
        fs::write(&file, "second\n").unwrap();
        assert_eq!((first.again().unwrap().secret.as_str(), first.secret.as_str()), ("second", "first"));
        fs::remove_file(&file).unwrap();
        assert!(matches!(first.again(), Err(Error::Unreadable { .. })));
    }
}
