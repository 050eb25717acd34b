//! Why ZooKeeper didn't do what it was asked, and whether it may have done it all the same.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::Failure;

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
    #[error("cannot {operation} {path} in ZooKeeper{}", advice(*source))]
    Refused {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The whole path.
        path: String,
        /// The server's answer.
        source: Refusal,
    },
    /// The answer was lost: it may have been done, may yet be done, or never.
    #[error("cannot tell whether ZooKeeper did {operation} {path}")]
    Unsure {
        /// What was tried, as a verb that `path` follows.
        operation: &'static str,
        /// The whole path.
        path: String,
        /// What the client says.
        source: Cause,
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

/// An answer that only a server gives, or our own side before anything is sent: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such node.
    #[error("there is no such node")]
    NoNode,
    /// There is one already.
    #[error("the node is there already")]
    NodeExists,
    /// The node has another version.
    #[error("the node has another version")]
    BadVersion,
    /// The node's rights don't allow it.
    #[error("not allowed")]
    NoAuth,
    /// The node has children.
    #[error("the node has children")]
    NotEmpty,
    /// A node that ends with a session has no children.
    #[error("a node that ends with a session can't have children")]
    NoChildrenForEphemerals,
    /// The rights for a new node aren't understood.
    #[error("the rights for the node aren't understood")]
    InvalidAcl,
    /// The question itself is wrong.
    #[error("the arguments aren't understood")]
    BadArguments,
    /// The server may not write.
    #[error("the server is read-only")]
    NotReadOnly,
    /// A quota of the path is used up.
    #[error("the path's quota is used up")]
    QuotaExceeded,
    /// The server has too much to do.
    #[error("the server has too much to do")]
    Throttled,
    /// The server is too old.
    #[error("the server doesn't know this operation")]
    Unimplemented,
    /// More than is ever sent.
    #[error("there are {bytes} bytes, but at most {} are sent", super::DATA_BYTES_MAX)]
    TooLarge {
        /// So many.
        bytes: usize,
    },
}

/// What lies behind a failed connection, or a lost answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// zookeeper-client gave up.
    #[error(transparent)]
    Client(zookeeper_client::Error),
    /// zookeeper-async gave up; its messages are names.
    #[error("{0:?}")]
    Async(zookeeper_async::ZkError),
    /// A server can't be connected to.
    #[error("cannot connect to {server}")]
    Server {
        /// It.
        server: String,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// There is no room for its thread.
    #[error("cannot start its thread")]
    Thread(#[source] Arc<io::Error>),
}

impl Error {
    /// Says what a failed call was.
    pub(super) fn of(operation: &'static str, path: String, failure: Failure) -> Self {
        match failure {
            Failure::Refused(source) => Self::Refused { operation, path, source },
            Failure::Unsure(source) => Self::Unsure { operation, path, source },
            Failure::Over => Self::Expired { operation, path },
        }
    }

    /// Returns a server's refusal, which says that nothing was done.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { source, .. } => Some(*source),
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Unsure { .. } | Self::Expired { .. } => None,
        }
    }

    /// Says whether a server refused with this answer.
    #[must_use]
    pub fn says(&self, answer: Refusal) -> bool {
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

const fn advice(source: Refusal) -> &'static str {
    if matches!(source, Refusal::NoAuth) {
        return ": the user in --zk has no right to it; write zk://USER:PASSWORD@HOST:PORT/PATH with the user that made it";
    }
    ""
}
