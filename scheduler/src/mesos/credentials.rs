//! The name and secret that a master knows us by.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::RequestBuilder;
use tracing::warn;

/// A principal and its secret, for HTTP basic authentication.
#[derive(Clone)]
pub struct Credentials {
    principal: String,
    secret: String,
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
    /// The file holds something else than one secret.
    #[error("secret file {} {problem}; it must hold the secret alone, on one line", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as a verb phrase.
        problem: &'static str,
    },
}

impl Credentials {
    /// Reads the secret from a file: one line of at most 4 KiB, with or without a line feed at its end.
    ///
    /// Warns in the log if others than the owner can read the file.
    ///
    /// # Errors
    /// When the principal or the file can't be used.
    pub fn load(principal: &str, file: &Path) -> Result<Self, Error> {
        if principal.is_empty() || principal.contains(|c: char| c == ':' || c.is_control()) {
            return Err(Error::Principal { principal: principal.to_owned() });
        }
        let unreadable = |source| Error::Unreadable { path: file.to_owned(), source };
        let facts = fs::metadata(file).map_err(unreadable)?;
        let wrong = |problem| Error::Secret { path: file.to_owned(), problem };
        if facts.len() > SECRET_BYTES_MAX {
            return Err(wrong("is over 4 KiB"));
        }
        let bytes = fs::read(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not text"))?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        if secret.is_empty() {
            return Err(wrong("is empty"));
        }
        if secret.contains(char::is_control) {
            return Err(wrong("has more than one line, or control characters"));
        }
        if facts.permissions().mode() & 0o077 != 0 {
            warn!(file = %file.display(), "secret file can be read by others than its owner");
        }
        Ok(Self { principal: principal.to_owned(), secret: secret.to_owned() })
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

/// Keeps the secret out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("principal", &self.principal).finish_non_exhaustive()
    }
}

const SECRET_BYTES_MAX: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let check = |bytes: &[u8], expected: Result<&str, &str>| {
            fs::write(&file, bytes).unwrap();
            match (Credentials::load("epic", &file), expected) {
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
        let missing = Path::new("/nonexistent/secret");
        for principal in ["", "a:b", "a\nb"] {
            assert!(matches!(Credentials::load(principal, missing), Err(Error::Principal { .. })), "{principal:?}");
        }
        let error = Credentials::load("epic", missing).unwrap_err();
        assert_eq!(error.to_string(), "cannot read secret file /nonexistent/secret");
    }
}
