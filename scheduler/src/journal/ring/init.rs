//! Making the journal's nodes, once and for all replicas.
//!
//! The root's data is written last, so that whatever has it is whole.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, record};
use crate::zookeeper::{self, Kind, Refusal, Session};

/// What came of making a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialised {
    /// There is one now.
    New,
    /// There was one already, and nothing was changed.
    Already,
}

/// What the root says about the journal below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) format: u32,
    pub(super) slots: u32,
    pub(super) id: String,
}

impl Root {
    /// Describes a journal that nobody has made yet.
    pub(super) fn new(slots: u32) -> Self {
        Self { format: FORMAT, slots, id: Uuid::new_v4().to_string() }
    }
}

/// Makes a journal of [`SLOTS`] slots at the session's path, with what lacks above it.
///
/// Does nothing if there is one; goes on where an earlier call was interrupted.
///
/// # Errors
/// When something else is there, a journal that this program can't use, or one whose base was begun and not finished;
/// and ZooKeeper's refusals.
pub async fn init(session: &Session) -> Result<Initialised, Error> {
    init_with(session, SLOTS).await
}

/// Makes a journal of so many slots, from [`SLOTS_MIN`] to [`SLOTS_MAX`].
///
/// # Errors
/// Those of [`init`].
pub async fn init_with(session: &Session, slots: u32) -> Result<Initialised, Error> {
    session.surely(|| session.create_root()).await?;
    session.surely(|| session.sync()).await?;
    match read(session).await {
        Ok(_) => return Ok(Initialised::Already),
        Err(Error::NotInitialised { .. }) => {}
        Err(error) => return Err(error),
    }
    let root = Root::new(slots);
    check(session, &root)?;
    lay_out(session, slots).await?;
    if written(session, &format!("{JOURNAL}/1")).await? && !written(session, POINTER).await? {
        return Err(Error::Unfinished { url: session.path().to_string() });
    }
    write_root(session, &root).await?;
    let made = read(session).await?;
    Ok(if made.id == root.id { Initialised::New } else { Initialised::Already })
}

/// Makes all nodes but the root's data, as far as they aren't there.
pub(super) async fn lay_out(session: &Session, slots: u32) -> Result<(), Error> {
    let names = session.surely(|| session.children("/")).await?;
    let is_ours = |name: &String| NODES.iter().chain([&PROBE]).any(|node| node[1..] == *name);
    if !names.iter().all(is_ours) {
        return Err(Error::NotOurs { url: session.path().to_string(), source: None });
    }
    for node in NODES {
        make(session, node, &[]).await?;
    }
    let slot = |slot| async move { make(session, &format!("{JOURNAL}/{slot}"), &[]).await };
    stream::iter(0..slots).map(slot).buffer_unordered(MADE_AT_ONCE).try_collect::<()>().await?;
    // Batch 0 is written so that the versions of all slots tell their laps in the same way.
    let first = record::encode(0, 0, Uuid::nil(), &[]);
    Ok(write_first(session, &format!("{JOURNAL}/0"), &first).await?)
}

/// Writes the root's data, which says that all the rest is there; what another call wrote there will do.
pub(super) async fn write_root(session: &Session, root: &Root) -> Result<(), Error> {
    let node = session.surely(|| session.read("/")).await?;
    if !node.bytes.is_empty() {
        return Ok(());
    }
    let data = json(root);
    match session.surely(|| session.write("/", &data, Some(node.version))).await {
        Err(error) if error.says(Refusal::BadVersion) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Reads the root, and checks that the journal below it can be used.
pub(super) async fn read(session: &Session) -> Result<Root, Error> {
    let url = || session.path().to_string();
    let node = match session.surely(|| session.read("/")).await {
        Err(error) if error.says(Refusal::NoNode) => {
            return Err(Error::NotInitialised { url: url(), begun: false });
        }
        outcome => outcome?,
    };
    if node.bytes.is_empty() {
        return Err(Error::NotInitialised { url: url(), begun: true });
    }
    let not_ours = |source| Error::NotOurs { url: url(), source: Some(source) };
    let Format { format } = serde_json::from_slice(&node.bytes).map_err(not_ours)?;
    if format > FORMAT {
        return Err(Error::NewerFormat { url: url(), found: format, known: FORMAT });
    }
    let root = serde_json::from_slice(&node.bytes).map_err(not_ours)?;
    check(session, &root)?;
    Ok(root)
}

/// Makes a node that lasts; one that is there already will do.
pub(super) async fn make(session: &Session, path: &str, bytes: &[u8]) -> Result<(), zookeeper::Error> {
    match session.surely(|| session.create(path, bytes, Kind::Lasting)).await {
        Err(error) if error.says(Refusal::NodeExists) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Writes a node that was never written; what another call wrote there will do.
async fn write_first(session: &Session, path: &str, bytes: &[u8]) -> Result<(), zookeeper::Error> {
    match session.surely(|| session.write(path, bytes, Some(0))).await {
        Err(error) if error.says(Refusal::BadVersion) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Writes what has nothing in it that isn't JSON.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and text are always JSON")
}

/// Tells whether a node is there and was ever written since it was made.
pub(super) async fn written(session: &Session, path: &str) -> Result<bool, Error> {
    match session.surely(|| session.read(path)).await {
        Err(error) if error.says(Refusal::NoNode) => Ok(false),
        outcome => Ok(outcome?.version > 0),
    }
}

fn check(session: &Session, root: &Root) -> Result<(), Error> {
    if (SLOTS_MIN..=SLOTS_MAX).contains(&root.slots) {
        return Ok(());
    }
    Err(Error::Slots { url: session.path().to_string(), slots: root.slots })
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// How many slots a journal has unless it was made with another number.
pub const SLOTS: u32 = 1024;
/// A ring has at least so many slots.
pub const SLOTS_MIN: u32 = 4;
/// A ring has at most so many slots.
pub const SLOTS_MAX: u32 = 1 << 16;

/// The parent of the slots.
pub(super) const JOURNAL: &str = "/journal";
/// The parent of the snapshots.
pub(super) const SNAPSHOTS: &str = "/snapshots";
/// Says which snapshot is to be read; empty before the first.
pub(super) const POINTER: &str = "/snapshot";
/// What tries the servers' limit; made by whoever tries first.
pub(super) const PROBE: &str = "/probe";
/// The parent of the candidates.
pub(super) const ELECTION: &str = "/election";
const NODES: [&str; 4] = [JOURNAL, SNAPSHOTS, POINTER, ELECTION];
const FORMAT: u32 = 1;
const MADE_AT_ONCE: usize = 64;
