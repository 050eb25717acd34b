//! What a client of ZooKeeper must be able to do for a session.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use epic_common::time::Timestamp;
use tokio::sync::watch;

use super::State;
use super::error::{Cause, Refusal};

/// One session, by way of one client library.
///
/// Paths are whole. A call may be dropped at any time: what it asked is then done or not. The session ends when the
/// last handle is dropped.
pub trait Coordinator: fmt::Debug + Send + Sync {
    /// Makes a node; answers the number that was added to its name, -1 for a lasting one.
    fn create<'a>(&'a self, path: &'a str, bytes: &'a [u8], kind: Kind) -> Call<'a, i64>;

    /// Reads a node.
    fn read<'a>(&'a self, path: &'a str) -> Call<'a, Node>;

    /// Reads a node, and watches for its next change.
    fn read_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (Node, Change)>;

    /// Says whether a node is there, and watches for its next change.
    fn exists_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (bool, Change)>;

    /// Lists the names of a node's children, in no order.
    fn children<'a>(&'a self, path: &'a str) -> Call<'a, Vec<String>>;

    /// Changes a node's data if it has this version, or any with `None`.
    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], version: Option<i32>) -> Call<'a, Written>;

    /// Removes a node that has no children.
    fn delete<'a>(&'a self, path: &'a str) -> Call<'a, ()>;

    /// Waits until the server we read from knows all that was written before at and below this path.
    fn sync<'a>(&'a self, path: &'a str) -> Call<'a, ()>;

    /// Says whether a node is an ephemeral one of this session.
    fn is_own(&self, node: &Node) -> bool;

    /// Returns the session's time-out, as far as the client knows it.
    fn timeout(&self) -> Duration;

    /// Returns what follows the session's states; its sender is gone only after the last one.
    fn states(&self) -> watch::Receiver<State>;
}

/// A call on its way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Waits for one change; may end without one, but never misses one. An error says that the session is over.
pub type Change = Pin<Box<dyn Future<Output = Result<(), SessionOver>> + Send>>;

/// The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOver;

/// Why a call has no answer that was hoped for.
#[derive(Clone, Debug)]
pub enum Failure {
    /// A server refused, and nothing was done.
    Refused(Refusal),
    /// The answer was lost: it may have been done, may yet be done, or never.
    Unsure(Cause),
    /// The session is over: it may have been done before that.
    Over,
}

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
    /// When its data was last changed, by the clock of the server that led then.
    pub modified: Timestamp,
    /// The session it ends with, 0 if it lasts.
    pub owner: i64,
}

/// What a node's data became by a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The new version.
    pub version: i32,
    /// When, by the clock of the server that led.
    pub modified: Timestamp,
}

/// Reads the milliseconds that ZooKeeper counts in.
pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp(u64::try_from(millis).unwrap_or(0).saturating_mul(1_000))
}
