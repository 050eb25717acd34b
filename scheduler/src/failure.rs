//! Why the process ends without having been asked to, with the exit code for it.

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

/// An exit code; the numbers are those of BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 64: the options are wrong.
    Usage,
    /// 65: a bundle, platform file or journal can't be used.
    Data,
    /// 69: Mesos refuses us.
    Unavailable,
    /// 74: disk or port can't be used.
    Io,
}

impl Failure {
    /// Says why, with all causes.
    pub fn new(code: Code, error: &dyn std::error::Error) -> Self {
        Self { code, text: chain(error) }
    }

    /// Says why in these words.
    pub fn text(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
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

impl From<token::Error> for Failure {
    fn from(error: token::Error) -> Self {
        Self::new(Code::Usage, &error)
    }
}

impl From<artifacts::Error> for Failure {
    fn from(error: artifacts::Error) -> Self {
        Self::new(Code::Data, &error)
    }
}

impl From<journal::Error> for Failure {
    fn from(error: journal::Error) -> Self {
        use journal::Error as E;
        let code = match &error {
            E::NewerFormat { .. } | E::Damaged { .. } | E::Gap { .. } | E::Behind { .. } | E::Fence { .. } => Code::Data,
            E::InUse { .. }
            | E::NotADirectory { .. }
            | E::Io { .. }
            | E::TooLarge { .. }
            | E::NotNext { .. }
            | E::NotASnapshot { .. }
            | E::Append { .. }
            | E::Failed { .. } => Code::Io,
        };
        Self::new(code, &error)
    }
}
