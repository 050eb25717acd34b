//! Why the journal in ZooKeeper can't be read or written.

use crate::zookeeper;

/// What is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has made a journal there, or not to the end.
    #[error("there is no journal at {url}{}; run epic-scheduler init --zk {url}", if *begun { " yet: making it was not finished" } else { "" })]
    NotInitialised {
        /// The place.
        url: String,
        /// Whether somebody began.
        begun: bool,
    },
    /// Replicas wait there for the first one to lead.
    #[error("replicas run on the journal at {url}; stop them first, then do this again")]
    Attended {
        /// The place.
        url: String,
    },
    /// Something else is there.
    #[error("{url} holds something that is no journal of this program; choose another path with --zk")]
    NotOurs {
        /// The place.
        url: String,
        /// What is wrong with the node's data, unless its children are.
        source: Option<serde_json::Error>,
    },
    /// A later program made it.
    #[error(
        "the journal at {url} has format {found}, but this program knows only formats up to {known}; start the program that made it, or a later one"
    )]
    NewerFormat {
        /// The place.
        url: String,
        /// Its format.
        found: u32,
        /// The latest format that this program knows.
        known: u32,
    },
    /// Another journal was being moved here.
    #[error(
        "moving a journal to {url} was begun and not finished; run that epic-scheduler state publish or restore again, or choose another path"
    )]
    Unfinished {
        /// The place.
        url: String,
    },
    /// There are batches already, or another base.
    #[error(
        "{url} holds another journal, and nothing overwrites one; choose another path with --zk, or remove all nodes there first if nobody needs them"
    )]
    Occupied {
        /// The place.
        url: String,
    },
    /// A number of slots that no ring can have.
    #[error("the journal at {url} has {slots} slots, but there must be from {min} to {max}", min = super::SLOTS_MIN, max = super::SLOTS_MAX)]
    Slots {
        /// The place.
        url: String,
        /// The number.
        slots: u32,
    },
    /// ZooKeeper refused, didn't answer, or ended the session.
    #[error(transparent)]
    Call(#[from] zookeeper::Error),
    /// Bytes that once were durable have changed.
    #[error("{path} in ZooKeeper is damaged, in batch {batch}: {flaw}; restore ZooKeeper from a backup")]
    Damaged {
        /// The node.
        path: String,
        /// The batch that should be there.
        batch: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A snapshot can't be read, though it is the one to be read.
    #[error("snapshot {name} below {path} in ZooKeeper is damaged: {flaw}; restore ZooKeeper from a backup")]
    Snapshot {
        /// The journal's path.
        path: String,
        /// The snapshot's node.
        name: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The pointer to the snapshot can't be read.
    #[error("the pointer to the snapshot below {path} in ZooKeeper is damaged; restore ZooKeeper from a backup")]
    Pointer {
        /// The journal's path.
        path: String,
        /// What is wrong with it; `None` if it says what can't be.
        source: Option<serde_json::Error>,
    },
    /// What once was durable isn't there: ZooKeeper was emptied or restored.
    #[error(
        "the journal at {path} in ZooKeeper is older than it was: it lacks batch {batch}, or the one a lap before; restore ZooKeeper from a newer backup"
    )]
    Behind {
        /// The journal's path.
        path: String,
        /// The batch whose place was looked at.
        batch: u64,
    },
    /// Others write faster than it can be read.
    #[error("cannot read the journal at {path} in ZooKeeper: it was overwritten in the meantime {tries} times")]
    Restless {
        /// The journal's path.
        path: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A batch is too large.
    #[error("batch {batch} has {bytes} bytes, but at most {bytes_max} are allowed")]
    TooLarge {
        /// The batch's number.
        batch: u64,
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Servers take less than a batch may have.
    #[error(
        "ZooKeeper at {url} does not take {bytes} bytes in one node; set jute.maxbuffer to {} or more on all its servers, or leave it out, and restart them",
        super::PACKET_BYTES
    )]
    SizeLimit {
        /// The place.
        url: String,
        /// So many were tried.
        bytes: usize,
    },
    /// A batch comes out of order.
    #[error("batch {batch} cannot follow batch {position}")]
    NotNext {
        /// The number that was given.
        batch: u64,
        /// The number of the last batch that was read or written.
        position: u64,
    },
    /// An earlier append has no known end.
    #[error(
        "nothing can be appended while it is not known whether batch {batch} stands; read the journal to its end first"
    )]
    Pending {
        /// The batch of that append.
        batch: u64,
    },
    /// A batch would overwrite one that no snapshot holds.
    #[error("batch {batch} cannot be written before a snapshot of batch {needed} or a later one")]
    SnapshotNeeded {
        /// The batch's number.
        batch: u64,
        /// The batch that it would overwrite.
        needed: u64,
    },
    /// A snapshot of what isn't known to be durable.
    #[error("cannot take a snapshot at batch {batch}: the last known batch is {position}")]
    NotASnapshot {
        /// The number that was given.
        batch: u64,
        /// The number of the last batch that was read or written.
        position: u64,
    },
}

/// What is wrong with bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// There are too few.
    #[error("it is too short")]
    Short,
    /// They don't begin as ours do.
    #[error("it does not begin as a batch does")]
    Magic,
    /// Some have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// They are another batch's.
    #[error("it is batch {found}")]
    Batch {
        /// Its number.
        found: u64,
    },
    /// A part isn't there.
    #[error("chunk {chunk} is missing")]
    Missing {
        /// The part's number.
        chunk: u32,
    },
}

impl Error {
    /// Says whether only a new session helps.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_expired())
    }

    /// Says whether ZooKeeper didn't answer, so that trying again may help.
    #[must_use]
    pub const fn is_unsure(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_unsure())
    }
}
