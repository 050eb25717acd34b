//! What a session asks of ZooKeeper, one call for each method, with answers sorted by what they prove.

use std::time::Duration;

use tokio::time::sleep;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, EventType, OneshotWatcher, Stat};

use super::{Error, Session};

/// How long a node stays, and who names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Until it is deleted.
    Lasting,
    /// Until the session is over; its number, higher than any before it, is added to the name.
    Numbered,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub bytes: Vec<u8>,
    /// How often its data was changed since it was made.
    pub version: i32,
    /// The session it ends with, 0 if it lasts.
    pub owner: i64,
}

/// Waits for one change of a node or of a node's children.
#[derive(Debug)]
pub struct Watch {
    watcher: OneshotWatcher,
    path: String,
}

impl Session {
    /// Makes a node; returns the number that was added to the name, -1 for a lasting one.
    ///
    /// # Errors
    /// A server's refusal such as `NodeExists`, or no answer.
    pub async fn create(&self, path: &str, bytes: &[u8], kind: Kind) -> Result<i64, Error> {
        let mode = match kind {
            Kind::Lasting => CreateMode::Persistent,
            Kind::Numbered => CreateMode::EphemeralSequential,
        };
        let created = self.client("create", path)?.create(path, bytes, &self.options(mode)).await;
        created.map(|(_, number)| number.into_i64()).map_err(self.failed("create", path))
    }

    /// Makes the session's own path, with whatever lacks above it; does nothing if it is there.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn create_root(&self) -> Result<(), Error> {
        let outer = self.clients().as_ref().map(|clients| clients.outer.clone());
        let outer = outer.ok_or_else(|| self.expired("create", "/"))?;
        let made = outer.mkdir(&self.shared.path.path, &self.options(CreateMode::Persistent)).await;
        made.map_err(self.failed("create", "/"))
    }

    /// Reads a node.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn read(&self, path: &str) -> Result<Node, Error> {
        let (bytes, stat) = self.client("read", path)?.get_data(path).await.map_err(self.failed("read", path))?;
        Ok(node(bytes, &stat))
    }

    /// Reads a node and watches its data.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn read_and_watch(&self, path: &str) -> Result<(Node, Watch), Error> {
        let client = self.client("read", path)?;
        let read = client.get_and_watch_data(path).await;
        let (bytes, stat, watcher) = read.map_err(self.failed("read", path))?;
        Ok((node(bytes, &stat), self.watch(watcher, path)))
    }

    /// Says whether a node is there, and watches for the opposite.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(bool, Watch), Error> {
        let client = self.client("look for", path)?;
        let checked = client.check_and_watch_stat(path).await;
        let (stat, watcher) = checked.map_err(self.failed("look for", path))?;
        Ok((stat.is_some(), self.watch(watcher, path)))
    }

    /// Lists the names of a node's children, in no order.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.client("list", path)?.list_children(path).await.map_err(self.failed("list", path))
    }

    /// Changes a node's data if it has this version, or any with `None`; returns the new version.
    ///
    /// # Errors
    /// A server's refusal such as `BadVersion`, or no answer.
    pub async fn write(&self, path: &str, bytes: &[u8], version: Option<i32>) -> Result<i32, Error> {
        let written = self.client("write", path)?.set_data(path, bytes, version).await;
        written.map(|stat| stat.version).map_err(self.failed("write", path))
    }

    /// Removes a node that has no children.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.client("delete", path)?.delete(path, None).await.map_err(self.failed("delete", path))
    }

    /// Waits until the server we read from knows all that was written before.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn sync(&self) -> Result<(), Error> {
        self.client("sync", "/")?.sync("/").await.map_err(self.failed("sync", "/"))
    }

    /// Makes a call again whenever its answer is lost, until the session is over; a bounded number of times.
    ///
    /// Only for calls that may be done twice; the caller takes `NodeExists` and `NoNode` for done.
    ///
    /// # Errors
    /// Those of the call; [`Error::Unsure`] if the answer was lost every time.
    pub async fn surely<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pauses = Pauses::default();
        loop {
            match call().await {
                Err(error) if error.is_unsure() && pauses.pause().await => {}
                outcome => return outcome,
            }
        }
    }

    /// Returns the client for paths below the session's path.
    fn client(&self, operation: &'static str, path: &str) -> Result<Client, Error> {
        let below = self.clients().as_ref().map(|clients| clients.below.clone());
        below.ok_or_else(|| self.expired(operation, path))
    }

    fn expired(&self, operation: &'static str, path: &str) -> Error {
        Error::Expired { operation, path: self.whole(path) }
    }

    fn options(&self, mode: CreateMode) -> CreateOptions<'static> {
        let owned = self.shared.path.digest.is_some();
        mode.with_acls(if owned { Acls::creator_all() } else { Acls::anyone_all() })
    }

    fn watch(&self, watcher: OneshotWatcher, path: &str) -> Watch {
        Watch { watcher, path: self.whole(path) }
    }

    fn failed(&self, operation: &'static str, path: &str) -> impl FnOnce(zookeeper_client::Error) -> Error {
        move |source| Error::of(operation, self.whole(path), source)
    }

    /// Returns the path that an operator knows.
    pub(crate) fn whole(&self, path: &str) -> String {
        format!("{}{}", self.shared.path.path, if path == "/" { "" } else { path })
    }
}

impl Watch {
    /// Waits for the change; a lost connection doesn't end the wait.
    ///
    /// # Errors
    /// [`Error::Expired`] when the session is over.
    pub async fn changed(self) -> Result<(), Error> {
        match self.watcher.changed().await.event_type {
            EventType::Session => Err(Error::Expired { operation: "watch", path: self.path }),
            EventType::NodeCreated
            | EventType::NodeDeleted
            | EventType::NodeDataChanged
            | EventType::NodeChildrenChanged => Ok(()),
        }
    }
}

/// How long to wait before a call is made again, each time longer.
///
/// A call without a server fails only after a part of the session's time-out, so that the bound is for servers
/// that take connections and drop them.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    made: u32,
}

impl Pauses {
    /// Waits; says `false`, at once, if there were enough.
    pub(crate) async fn pause(&mut self) -> bool {
        if self.made == PAUSES_MAX {
            return false;
        }
        sleep(PAUSE_MAX.min(FIRST_PAUSE * 2_u32.pow(self.made))).await;
        self.made += 1;
        true
    }
}

fn node(bytes: Vec<u8>, stat: &Stat) -> Node {
    Node { bytes, version: stat.version, owner: stat.ephemeral_owner }
}

const PAUSES_MAX: u32 = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
