//! Why a command that asks the scheduler fails, and with which exit code.

use std::process::ExitCode;
use std::time::Duration;

use epic_common::api::Problem;
use epic_common_io::tls::Distrust;

/// Said in `--help` of the commands that ask the scheduler.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  refused, or failed
  2  wrong usage; nothing was asked of the scheduler
  3  the scheduler can't be reached
  4  it took longer than --timeout; it goes on nevertheless";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The scheduler said no.
    #[error("{}", lines(.0).join("; "))]
    Refused(Problem),
    /// Nobody knows what became of the request, or it was never sent.
    #[error("cannot reach the scheduler at {server}; is it running there? see --server and EPIC_SERVER")]
    Unreachable {
        server: String,
        #[source]
        source: reqwest::Error,
    },
    /// Whoever answers there isn't trusted, and nothing was asked of it.
    #[error("cannot reach the scheduler at {server} by TLS: {why}; {}", next(*.why, .server))]
    Distrusted {
        server: String,
        why: Distrust,
        #[source]
        source: reqwest::Error,
    },
    /// Something else answers there.
    #[error("{server} is not an epic-scheduler of this version: it answered {status} with {found}")]
    Foreign { server: String, status: u16, found: String },
    /// It goes on, but nobody waits any more.
    #[error("gave up after {} s waiting until {goal}: {remains}", waited.as_secs())]
    TimedOut { waited: Duration, goal: String, remains: String },
    /// The command line isn't enough.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) | Self::Foreign { .. } => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable { .. } | Self::Distrusted { .. } => ExitCode::from(3),
            Self::TimedOut { .. } => ExitCode::from(4),
        }
    }
}

/// Says what to do about a server that isn't trusted.
fn next(why: Distrust, server: &str) -> String {
    match why {
        Distrust::Authority => "name the file with its authority (PEM) with --ca-file or EPIC_CA_FILE".to_owned(),
        Distrust::Host => "give --server as the certificate names it".to_owned(),
        Distrust::Time => "renew it, or set the clock of this machine".to_owned(),
        Distrust::NoTls => format!("try --server {}", server.replacen("https://", "http://", 1)),
    }
}

/// Turns a refusal into a line for each field that is wrong, or else one.
pub(crate) fn lines(problem: &Problem) -> Vec<String> {
    let Problem { title, detail, errors, .. } = problem;
    let head = if detail.is_empty() { title.clone() } else { format!("{title}: {detail}") };
    if errors.is_empty() {
        return vec![head];
    }
    let line = |error: &epic_common::api::FieldError| match error.path.as_str() {
        "" => format!("{head}: {}", error.problem),
        path => format!("{head}: {path}: {}", error.problem),
    };
    errors.iter().map(line).collect()
}
