//! A real ZooKeeper for measurements, and places in it.

use std::time::Duration;

use anyhow::{Result, bail};
use epic_scheduler::journal::ring::{self, Ring};
use epic_scheduler::mesos::masters::{Masters, ZooKeeperPath};
use epic_scheduler::zookeeper::{Connect, Session};
use epic_tests::zookeeper::{Pace, ZooKeeper};

/// Starts so many servers with room for large journals.
///
/// # Errors
/// They can't be installed or started.
pub(crate) async fn start(count: u8) -> Result<ZooKeeper> {
    ZooKeeper::large(count, Pace { tick: Duration::from_millis(200), session_max: TIMEOUT }).await
}

/// Opens a session below a place such as `zk://127.0.0.1:2181/epic`.
///
/// # Errors
/// No server answers.
pub(crate) async fn session(url: &str) -> Result<Session> {
    Ok(Session::connect(&Connect::new(path(url)?, TIMEOUT), TIMEOUT).await?)
}

/// Makes a journal there, and opens it.
///
/// # Errors
/// No server answers, or something else is there.
pub(crate) async fn journal(url: &str) -> Result<Ring> {
    let session = session(url).await?;
    ring::init(&session).await?;
    Ok(Ring::open(session).await?)
}

fn path(url: &str) -> Result<ZooKeeperPath> {
    match Masters::parse(url)? {
        Masters::ZooKeeper(path) => Ok(path),
        Masters::List(_) => bail!("{url} is no place in ZooKeeper"),
    }
}

/// Longer than the longest pause of a server on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);
