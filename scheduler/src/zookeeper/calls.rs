//! What a session asks of ZooKeeper, one call for each method, with answers sorted by what they prove.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::coordinator::{Change, Coordinator, Failure, Kind, Node, Written};
use super::{DATA_BYTES_MAX, Error, Refusal, Session};

/// Waits for one change of a node.
pub struct Watch {
    change: Change,
    path: String,
}

impl Session {
    /// Makes a node; returns the number that was added to the name, -1 for a lasting one.
    ///
    /// # Errors
    /// A server's refusal such as `NodeExists`, or no answer.
    pub async fn create(&self, path: &str, bytes: &[u8], kind: Kind) -> Result<i64, Error> {
        self.check_size("create", path, bytes)?;
        let created = self.coordinator("create", path)?.create(&self.whole(path), bytes, kind).await;
        created.map_err(self.failed("create", path))
    }

    /// Makes the session's own path, with whatever lacks above it; does nothing if it is there.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn create_root(&self) -> Result<(), Error> {
        let coordinator = self.coordinator("create", "/")?;
        let whole = self.whole("/");
        let mut lacking = vec![whole.as_str()];
        // Whoever may make the path needn't have any right above it, so that is only asked for if it lacks.
        while let Some(path) = lacking.last() {
            let above = path.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty());
            match (coordinator.create(path, &[], Kind::Lasting).await, above) {
                (Ok(_) | Err(Failure::Refused(Refusal::NodeExists)), _) => drop(lacking.pop()),
                (Err(Failure::Refused(Refusal::NoNode)), Some(above)) => lacking.push(above),
                (Err(failure), _) => return Err(self.failed("create", "/")(failure)),
            }
        }
        Ok(())
    }

    /// Reads a node.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn read(&self, path: &str) -> Result<Node, Error> {
        self.coordinator("read", path)?.read(&self.whole(path)).await.map_err(self.failed("read", path))
    }

    /// Reads a node and watches its data.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn read_and_watch(&self, path: &str) -> Result<(Node, Watch), Error> {
        let read = self.coordinator("read", path)?.read_and_watch(&self.whole(path)).await;
        let (node, change) = read.map_err(self.failed("read", path))?;
        Ok((node, self.watch(change, path)))
    }

    /// Says whether a node is there, and watches for its next change.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(bool, Watch), Error> {
        let checked = self.coordinator("look for", path)?.exists_and_watch(&self.whole(path)).await;
        let (exists, change) = checked.map_err(self.failed("look for", path))?;
        Ok((exists, self.watch(change, path)))
    }

    /// Lists the names of a node's children, in no order.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.coordinator("list", path)?.children(&self.whole(path)).await.map_err(self.failed("list", path))
    }

    /// Changes a node's data if it has this version, or any with `None`.
    ///
    /// # Errors
    /// A server's refusal such as `BadVersion`, or no answer.
    pub async fn write(&self, path: &str, bytes: &[u8], version: Option<i32>) -> Result<Written, Error> {
        self.check_size("write", path, bytes)?;
        let written = self.coordinator("write", path)?.write(&self.whole(path), bytes, version).await;
        written.map_err(self.failed("write", path))
    }

    /// Removes a node that has no children.
    ///
    /// # Errors
    /// A server's refusal such as `NoNode`, or no answer.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.coordinator("delete", path)?.delete(&self.whole(path)).await.map_err(self.failed("delete", path))
    }

    /// Waits until the server we read from knows all that was written before.
    ///
    /// # Errors
    /// A server's refusal, or no answer.
    pub async fn sync(&self) -> Result<(), Error> {
        self.coordinator("sync", "/")?.sync(&self.whole("/")).await.map_err(self.failed("sync", "/"))
    }

    /// Says whether a node is an ephemeral one that this session made.
    #[must_use]
    pub fn is_own(&self, node: &Node) -> bool {
        node.owner != 0 && self.coordinator("ask of", "/").is_ok_and(|coordinator| coordinator.is_own(node))
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

    fn coordinator(&self, operation: &'static str, path: &str) -> Result<Arc<dyn Coordinator>, Error> {
        let held = self.held().as_ref().map(Arc::clone);
        held.ok_or_else(|| Error::Expired { operation, path: self.whole(path) })
    }

    /// A server closes the connection of whoever sends it too much.
    fn check_size(&self, operation: &'static str, path: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() <= DATA_BYTES_MAX {
            return Ok(());
        }
        let source = Refusal::TooLarge { bytes: bytes.len() };
        Err(Error::Refused { operation, path: self.whole(path), source })
    }

    fn watch(&self, change: Change, path: &str) -> Watch {
        Watch { change, path: self.whole(path) }
    }

    fn failed(&self, operation: &'static str, path: &str) -> impl FnOnce(Failure) -> Error {
        move |failure| Error::of(operation, self.whole(path), failure)
    }

    /// Returns the path that an operator knows.
    pub(crate) fn whole(&self, path: &str) -> String {
        format!("{}{}", self.path().path, if path == "/" { "" } else { path })
    }
}

impl Watch {
    /// Waits for the change; a lost connection doesn't end the wait. It may end without a change.
    ///
    /// # Errors
    /// [`Error::Expired`] when the session is over.
    pub async fn changed(self) -> Result<(), Error> {
        self.change.await.map_err(|_| Error::Expired { operation: "watch", path: self.path })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("path", &self.path).finish_non_exhaustive()
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

const PAUSES_MAX: u32 = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
