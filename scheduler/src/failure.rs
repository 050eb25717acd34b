//! Why the process ends without having been asked to, with the exit code for it.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::{artifacts, chain, config, journal, token};

/// Why the process ends.
#[derive(Debug)]
pub struct Failure {
    /// One of the codes that `--help` lists.
    pub code: Code,
    /// One line for people.
    pub text: String,
}

/// An exit code; the numbers above 63 are those of BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: the scheduler that was asked isn't well.
    Unhealthy,
    /// 64: the options are wrong.
    Usage,
    /// 65: a bundle, platform file or journal can't be used.
    Data,
    /// 69: Mesos refuses us, or a verb can't use ZooKeeper.
    Unavailable,
    /// 74: disk or port can't be used.
    Io,
}

impl Failure {
    /// Says why, with all causes.
    pub fn new(code: Code, error: &dyn std::error::Error) -> Self {
        Self { code, text: chain(error) }
    }

    /// Says why a bundle or the executor's program can't be used; what the state directory itself refuses is another matter.
    pub fn artifact(state_dir: &Path, error: &artifacts::Error) -> Self {
        let is_own = matches!(error, artifacts::Error::Io { path, .. } if path.starts_with(state_dir));
        Self::new(if is_own { Code::Io } else { Code::Data }, error).or_full(state_dir, error)
    }

    /// Says why there is no token.
    pub fn token(state_dir: &Path, error: &token::Error) -> Self {
        let is_own = matches!(error, token::Error::Io { path, .. } if path.starts_with(state_dir));
        Self::new(if is_own { Code::Io } else { Code::Usage }, error).or_full(state_dir, error)
    }

    /// Says before all else what it is about, such as an option with its value.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        Self { code: self.code, text: format!("{what}: {}", self.text) }
    }

    /// Adds what to do if the cause is a full disk, whichever file it was noticed at.
    fn or_full(self, state_dir: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        if !causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| full.contains(&cause.kind()))) {
            return self;
        }
        let next = "free some space and start again; nothing is lost";
        Self {
            code: Code::Io,
            text: format!("{}; the disk of state directory {} is full: {next}", self.text, state_dir.display()),
        }
    }

    /// Says why in these words.
    pub fn text(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Unhealthy => 1,
            Code::Usage => 64,
            Code::Data => 65,
            Code::Unavailable => 69,
            Code::Io => 74,
        })
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::new(Code::Usage, &error)
    }
}

impl From<config::connect::Error> for Failure {
    fn from(error: config::connect::Error) -> Self {
        Self::new(Code::Usage, &error)
    }
}

impl From<journal::Error> for Failure {
    fn from(error: journal::Error) -> Self {
        use journal::Error as E;
        let code = match &error {
            E::NewerFormat { .. } | E::Damaged { .. } | E::Gap { .. } | E::Behind { .. } | E::Fence { .. } => {
                Code::Data
            }
            E::InUse { .. }
            | E::NotADirectory { .. }
            | E::Io { .. }
            | E::SetAside { .. }
            | E::TooLarge { .. }
            | E::NotNext { .. }
            | E::NotASnapshot { .. }
            | E::Append { .. }
            | E::Failed { .. } => Code::Io,
        };
        Self::new(code, &error)
    }
}
