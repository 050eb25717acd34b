//! A journal that doesn't begin empty: its first batch and a snapshot of it are there before anybody can open it.
//!
//! The first batch is what holds off a replica that had opened an empty journal at the same path: it can't write a first
//! batch of its own any more, and what it reads there doesn't follow what it knows.

use std::sync::Mutex;

use uuid::Uuid;

use super::init::{ELECTION, JOURNAL, POINTER, Root, lay_out, read, write_root, written};
use super::tally::Tally;
use super::{Append, Error, Initialised, Next, Ring, SLOTS};
use crate::zookeeper::{Refusal, Session};

/// What a journal begins with. The same base has the same bytes whenever it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The epoch that the snapshot knows.
    pub epoch: u64,
    /// The first batch.
    pub batch: Vec<u8>,
    /// The sum of all up to and with that batch.
    pub snapshot: Vec<u8>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing, or what an interrupted `init` left: no batch, and nobody can have opened it.
    Free,
    /// A base without a root: nobody can have opened it.
    Begun,
    /// A journal without a batch.
    Empty,
    /// A journal with batches.
    Used,
}

/// Looks at the session's path; makes and changes nothing.
///
/// # Errors
/// Something else is there, or a journal that this program can't use; and ZooKeeper's refusals.
pub async fn look(session: &Session) -> Result<Place, Error> {
    session.surely(|| session.sync()).await?;
    let has_root = match read(session).await {
        Ok(_) => true,
        Err(Error::NotInitialised { begun: false, .. }) => return Ok(Place::Free),
        Err(Error::NotInitialised { begun: true, .. }) => false,
        Err(error) => return Err(error),
    };
    let is_written = written(session, &format!("{JOURNAL}/1")).await? || written(session, POINTER).await?;
    Ok(match (has_root, is_written) {
        (true, true) => Place::Used,
        (true, false) => Place::Empty,
        (false, true) => Place::Begun,
        (false, false) => Place::Free,
    })
}

/// Makes sure that a journal can be made at the session's path, by making all of it that says nothing yet.
///
/// # Errors
/// [`Error::Occupied`] if there are batches or a base; something else is there; and ZooKeeper's refusals.
pub async fn prepare(session: &Session) -> Result<(), Error> {
    match look(session).await? {
        Place::Begun | Place::Used => Err(occupied(session)),
        Place::Empty if session.surely(|| session.children(ELECTION)).await?.is_empty() => Ok(()),
        // A replica would write the first batch before us.
        Place::Empty => Err(Error::Attended { url: session.path().to_string() }),
        Place::Free => {
            session.surely(|| session.create_root()).await?;
            lay_out(session, SLOTS).await
        }
    }
}

/// Makes a journal that begins with this base, or goes on where an earlier call with the same base was interrupted.
///
/// A journal that is there and has no batch gets the base, too; whoever had opened it is refused from then on. The root
/// is written last, so that until then nobody can open it.
///
/// # Errors
/// [`Error::Occupied`] with nothing changed if there are other batches, or if ours were overwritten long ago; something
/// else is there; and ZooKeeper's refusals, after which the same call goes on.
pub async fn init_from(session: &Session, base: &Base) -> Result<Initialised, Error> {
    session.surely(|| session.create_root()).await?;
    session.surely(|| session.sync()).await?;
    let before = match read(session).await {
        Ok(root) => Some(root),
        Err(Error::NotInitialised { .. }) => None,
        Err(error) => return Err(error),
    };
    let root = Root::new(before.as_ref().map_or(SLOTS, |root| root.slots));
    lay_out(session, root.slots).await?;
    let tally = Mutex::new(Tally::new(root.slots));
    let ring = Ring { session: session.clone(), root: root.clone(), writer: Uuid::new_v4(), tally };
    match ring.append(1, base.epoch, &base.batch).await? {
        Append::Durable(_) => {}
        Append::Deposed if ring.next(0).await? == Next::Batch(base.batch.clone()) => {}
        Append::Deposed => return Err(occupied(session)),
    }
    if before.is_some() {
        if written(session, POINTER).await? {
            return Ok(Initialised::Already);
        }
        close(session).await?;
    }
    ring.snapshot(1, &base.snapshot).await?;
    write_root(session, &root).await?;
    Ok(if read(session).await?.id == root.id { Initialised::New } else { Initialised::Already })
}

/// Takes the root's data away, so that nobody opens the journal while it is half made.
async fn close(session: &Session) -> Result<(), Error> {
    let node = session.surely(|| session.read("/")).await?;
    match session.surely(|| session.write("/", b"", Some(node.version))).await {
        // An answer that was lost, and the same call made again.
        Err(error) if error.says(Refusal::BadVersion) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn occupied(session: &Session) -> Error {
    Error::Occupied { url: session.path().to_string() }
}
