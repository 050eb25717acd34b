//! What the scheduler and `init` are told of how to speak with `ZooKeeper`.

use std::time::Duration;

use clap::Args;

use crate::mesos::masters::ZooKeeperPath;
use crate::zookeeper::{Client, Connect};

/// How to speak with the servers of `--zk`.
#[derive(Clone, Debug, Args)]
pub struct ConnectOptions {
    /// Which library speaks with ZooKeeper for --zk. With zookeeper-async each lost connection costs leadership
    #[arg(long, env = "EPIC_ZK_CLIENT", default_value_t, value_enum)]
    pub zk_client: Client,
}

impl ConnectOptions {
    /// Says how sessions at `path` are to be made.
    #[must_use]
    pub fn connect(&self, path: &ZooKeeperPath, session_timeout: Duration) -> Connect {
        Connect { path: path.clone(), session_timeout, client: self.zk_client }
    }
}
