//! Why ZooKeeper didn't do what it was asked, and whether it may have done it all the same.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What failed, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No server let us in.
    #[error("cannot reach ZooKeeper at {servers}")]
    Unreachable {
        /// The servers.
        servers: String,
        /// What the client says.
        source: Cause,
    },
    /// No server let us in within the bound.
    #[error("ZooKeeper at {servers} does not answer within {} ms", bound.as_millis())]
    Slow {
        /// The servers.
        servers: String,
        /// The bound.
        bound: Duration,
    },
    /// A server refused, and nothing was done.
    #[error("cannot {operation} {path} in ZooKeeper{}", advice(source))]
    Refused {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The whole path.
        path: String,
        /// The server's answer.
        source: zookeeper_client::Error,
    },
    /// The answer was lost: it may have been done, may yet be done, or never.
    #[error("cannot tell whether ZooKeeper did {operation} {path}")]
    Unsure {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The whole path.
        path: String,
        /// What the client says.
        source: zookeeper_client::Error,
    },
    /// The session is over: what was tried may have been done before that.
    #[error("cannot {operation} {path}: the session with ZooKeeper is over")]
    Expired {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The whole path.
        path: String,
    },
}

/// What lies behind a failed connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The client gave up.
    #[error(transparent)]
    Client(zookeeper_client::Error),
    /// There is no room for its thread.
    #[error("cannot start its thread")]
    Thread(#[source] Arc<io::Error>),
}

impl Error {
    /// Sorts what the client says about a call.
    pub(super) fn of(operation: &'static str, path: String, source: zookeeper_client::Error) -> Self {
        if is_over(&source) {
            Self::Expired { operation, path }
        } else if is_definite(&source) {
            Self::Refused { operation, path, source }
        } else {
            Self::Unsure { operation, path, source }
        }
    }

    /// Returns a server's refusal, which says that nothing was done.
    #[must_use]
    pub const fn refusal(&self) -> Option<&zookeeper_client::Error> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Unsure { .. } | Self::Expired { .. } => None,
        }
    }

    /// Says whether a server refused with this answer.
    #[must_use]
    pub fn says(&self, answer: &zookeeper_client::Error) -> bool {
        self.refusal() == Some(answer)
    }

    /// Says whether the session is over, so that no further call can succeed.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        matches!(self, Self::Expired { .. })
    }

    /// Says whether the answer was lost while the session may still stand.
    #[must_use]
    pub const fn is_unsure(&self) -> bool {
        matches!(self, Self::Unsure { .. })
    }
}

const fn is_over(error: &zookeeper_client::Error) -> bool {
    use zookeeper_client::Error as E;
    matches!(error, E::SessionExpired | E::AuthFailed | E::ClientClosed)
}

/// Knows the answers that only a server, or our own client before it sends anything, gives.
///
/// Whatever isn't named is taken for a lost answer: connection loss comes under several names.
const fn is_definite(error: &zookeeper_client::Error) -> bool {
    use zookeeper_client::Error as E;
    matches!(
        error,
        E::BadArguments(_)
            | E::NoNode
            | E::NoAuth
            | E::BadVersion
            | E::NoChildrenForEphemerals
            | E::NodeExists
            | E::NotEmpty
            | E::InvalidAcl
            | E::NotReadOnly
            | E::NoWatcher
            | E::QuotaExceeded
            | E::Throttled
            | E::MarshallingError
            | E::Unimplemented
    )
}

fn advice(source: &zookeeper_client::Error) -> &'static str {
    if *source == zookeeper_client::Error::NoAuth {
        return ": the user in --zk has no right to it; write zk://USER:PASSWORD@HOST:PORT/PATH with the user that made it";
    }
    ""
}

#[cfg(test)]
mod tests {
    use zookeeper_client::Error as E;

    use super::*;

    #[test]
    fn a_lost_answer_is_never_taken_for_a_refusal() {
        let class = |source| match Error::of("write", "/a".to_owned(), source) {
            Error::Refused { .. } => "refused",
            Error::Unsure { .. } => "unsure",
            Error::Expired { .. } => "expired",
            Error::Unreachable { .. } | Error::Slow { .. } => "not a call",
        };
        for source in [E::BadVersion, E::NoNode, E::NodeExists, E::NoAuth] {
            assert_eq!(class(source), "refused");
        }
        for source in [
            E::ConnectionLoss,
            E::Timeout,
            E::SessionMoved,
            E::RuntimeInconsistent,
            E::UnexpectedErrorCode(-7),
            E::UnexpectedError("no answer".to_owned()),
        ] {
            assert_eq!(class(source), "unsure");
        }
        for source in [E::SessionExpired, E::ClientClosed, E::AuthFailed] {
            assert_eq!(class(source), "expired");
        }
    }
}
