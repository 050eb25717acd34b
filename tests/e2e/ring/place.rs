//! A ZooKeeper server with a journal in it, seen by way of one client.

use std::time::Duration;

use epic_common::time::Timestamp;
use epic_scheduler::journal::ring::{self, Append, Error, Ring};
use epic_scheduler::mesos::masters::{Masters, ZooKeeperPath};
use epic_scheduler::zookeeper::{Client, Connect, Session};
use epic_tests::wait;
use epic_tests::zookeeper::ZooKeeper;

/// So few that a lap is soon over.
pub(crate) const SLOTS: u32 = 8;
pub(crate) const TIMEOUT: Duration = Duration::from_secs(6);
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// The server, and the client to speak with it.
pub(crate) struct Place {
    pub(crate) zookeeper: ZooKeeper,
    pub(crate) client: Client,
}

impl Place {
    pub(crate) async fn start(client: Client) -> Self {
        Self { zookeeper: ZooKeeper::start().await.unwrap(), client }
    }

    /// Makes a journal, and opens it.
    pub(crate) async fn made(&self) -> Ring {
        self.made_with(TIMEOUT).await
    }

    pub(crate) async fn made_with(&self, timeout: Duration) -> Ring {
        let session = self.session_of("", "/epic", timeout).await;
        ring::init_with(&session, SLOTS).await.expect("the place is empty or holds a journal");
        Ring::open(session).await.expect("it was made")
    }

    /// Opens the journal over another session.
    pub(crate) async fn ring(&self) -> Ring {
        let opened = async || Ok(Ring::open(self.session("", "/epic").await).await?);
        wait::until("the journal can be opened", BOUND, opened).await.expect("it was made")
    }

    pub(crate) async fn session(&self, credentials: &str, path: &str) -> Session {
        self.session_of(credentials, path, TIMEOUT).await
    }

    pub(crate) async fn session_of(&self, credentials: &str, path: &str, timeout: Duration) -> Session {
        let connect = self.connect(credentials, path, timeout);
        Session::connect(&connect, BOUND).await.expect("ZooKeeper serves")
    }

    pub(crate) fn connect(&self, credentials: &str, path: &str, timeout: Duration) -> Connect {
        Connect { client: self.client, ..Connect::new(self::path(&self.zookeeper, credentials, path), timeout) }
    }
}

/// Connects with the default client, for tests of something else.
pub(crate) async fn session(zookeeper: &ZooKeeper, credentials: &str, path: &str) -> Session {
    session_of(zookeeper, credentials, path, TIMEOUT).await
}

/// The same with another time-out.
pub(crate) async fn session_of(zookeeper: &ZooKeeper, credentials: &str, path: &str, timeout: Duration) -> Session {
    let path = self::path(zookeeper, credentials, path);
    Session::connect(&Connect::new(path, timeout), BOUND).await.expect("ZooKeeper serves")
}

fn path(zookeeper: &ZooKeeper, credentials: &str, path: &str) -> ZooKeeperPath {
    let url = zookeeper.url(path).replace("zk://", &format!("zk://{credentials}"));
    match Masters::parse(&url).expect("the server tells its address as Mesos reads it") {
        Masters::ZooKeeper(path) => path,
        Masters::List(_) => panic!("{url} is no place in ZooKeeper"),
    }
}

/// Returns when a batch became durable.
pub(crate) fn written(appended: Result<Append, Error>) -> Timestamp {
    match appended.expect("ZooKeeper serves") {
        Append::Durable(at) => at,
        Append::Deposed => panic!("nobody else has written"),
    }
}

pub(crate) fn payload(batch: u64) -> Vec<u8> {
    format!("batch {batch}").into_bytes()
}
