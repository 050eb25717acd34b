//! How a session with ZooKeeper is made.

use std::fmt;
use std::time::Duration;

use crate::mesos::masters::ZooKeeperPath;

/// Where, with which client, and as whom.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The servers, the path that all calls are below, and the user of the digest scheme.
    pub path: ZooKeeperPath,
    /// How long the servers are to keep the session when they don't hear of it.
    pub session_timeout: Duration,
    /// Which library speaks.
    pub client: Client,
}

/// A library that speaks with ZooKeeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// Its sessions outlive lost connections.
    #[default]
    #[value(name = "zookeeper-client")]
    ZooKeeperClient,
    /// One session is one connection: whoever loses it starts anew.
    #[value(name = "zookeeper-async")]
    ZooKeeperAsync,
}

impl Connect {
    /// Asks for the default client.
    #[must_use]
    pub fn new(path: ZooKeeperPath, session_timeout: Duration) -> Self {
        Self { path, session_timeout, client: Client::default() }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZooKeeperClient => "zookeeper-client",
            Self::ZooKeeperAsync => "zookeeper-async",
        })
    }
}
