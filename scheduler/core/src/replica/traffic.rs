//! What goes into a replica's machine, and what comes out.

use std::sync::Arc;
use std::time::Duration;

use epic_common::time::Timestamp;

use super::election::{self, Ask};
use super::peers::Peer;
use super::standing::{At, Standing};
use crate::director;
use crate::state::entry::{Entry, Index};
use crate::state::{Leader, State};

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// The session that this question opened is so from now on.
    Session(Ask, Connection),
    /// A question about the journal was answered.
    Journal(Ask, Answer),
    /// A question about the candidates was answered.
    Candidates(Ask, election::Answer),
    /// These take part, or why nobody knows.
    Peers(Ask, Result<Vec<Peer>, String>),
    /// The director wants this batch durable; the position is that of its first entry.
    Proposed(Index, Vec<Entry>),
    /// A batch was appended, or not.
    Appended(Ask, Appended),
    /// The snapshot stands, or why it doesn't.
    Snapshotted(Ask, Result<(), String>),
    /// The director has handled the oldest input that was not reported yet, and all that follows from it was begun.
    Directed,
    /// The copy on this replica's disk needs the whole state.
    CopyWanted,
    /// The session has been closed.
    Closed,
    /// Take part no more: end in good order.
    Stop,
}

/// What a replica wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Hand this to the director, after all that was handed over before, then say `Directed`.
    Direct(director::Input),
    /// Ask about the journal; whatever was asked before is given up.
    Journal(Ask, Question),
    /// Ask about the candidates; whatever was asked before is given up.
    Candidates(Ask, election::Question),
    /// Find out who takes part.
    Peers(Ask),
    /// Append this claim, and say `Appended`.
    Claim(Ask, Batch),
    /// Append what the director has proposed, and say `Appended`.
    Append(Ask, Batch),
    /// Give up the append that is under way: it may or may not come to stand.
    StopAppending,
    /// Write the director's state, which is that of this entry, as the sum of all batches up to this one; then say
    /// `Snapshotted`.
    Snapshot(Ask, u64, Index),
    /// Add a batch that was applied to the copy on this replica's disk.
    Copy(Copied),
    /// Give the director's state, which is that of this entry, to the copy on this replica's disk.
    CopyWhole(At, Index),
    /// Others may see this from now on.
    Show(Shown),
    /// These take part.
    ShowPeers(Vec<Peer>),
    /// Tell people why this replica takes no part; the same reason is told once.
    Warn(String),
    /// Close the session, and say `Closed`.
    Close,
    /// It takes part no more.
    End,
}

/// Whether a session can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A server answers.
    Up,
    /// No server answers; whether the session still stands is not known until one does.
    Broken,
    /// The session is over; nothing but a new one helps.
    Over,
}

/// What a replica has to find out about the journal, one question after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Open a session, which has the number of this question, and the journal over it.
    Open,
    /// Compare what was followed up to this place, with this checksum of the last batch, with the journal.
    Compare(At, Option<u32>),
    /// Read the newest snapshot and all batches after it.
    Recover,
    /// Say whether nothing comes after this batch, as the whole ensemble knows it now.
    End(u64),
    /// Wait for the batch after this one.
    Read(u64),
    /// Make sure that the largest batch can be written.
    Probe,
    /// Ask what time it is where the journal is kept, by a write to the candidate of this name.
    Time(String),
}

/// What became of a question about the journal.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A session is open, and the journal is this one.
    Opened {
        /// Tells the journal from all others.
        journal: String,
        /// The session's time-out, as the servers have agreed to it.
        timeout: Duration,
    },
    /// There is no journal at this URL, for people in these words.
    Missing {
        /// Where it should be.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// What was followed stands so to the journal.
    Compared(Standing),
    /// The journal was read to its end.
    Recovered(Box<Recovered>),
    /// Nothing comes after the batch.
    AtEnd,
    /// Something comes after the batch.
    NotAtEnd,
    /// The next batch.
    Next(Record),
    /// The next batch was overwritten: only a snapshot leads further.
    Lapped,
    /// The largest batch can be written.
    Writable,
    /// The time where the journal is kept.
    Time(Timestamp),
    /// Somebody has removed the candidate.
    CandidateGone,
    /// Why there is no answer; nothing but another session helps.
    Failed(String),
}

/// A journal as it was read from its newest snapshot to its end.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The number of the last batch.
    pub batch: u64,
    /// Its checksum, unless it is part of the snapshot.
    pub last_crc32: Option<u32>,
    /// The sum of all batches.
    pub state: State,
}

/// A batch as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The position of its first entry.
    pub first: Index,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// As it is written; only the copy on disk needs it.
    pub written: Written,
}

/// The bytes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All of them.
    pub bytes: Arc<[u8]>,
    /// Their checksum (CRC-32).
    pub crc32: u32,
}

/// A batch that is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub number: u64,
    /// The epoch of whoever appends it.
    pub epoch: u64,
    /// The position of its first entry.
    pub first: Index,
    /// What is in it.
    pub entries: Vec<Entry>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It stands, for good.
    Durable {
        /// As it is written.
        written: Written,
        /// Whether so much was written since the last snapshot that it is time for another.
        snapshot_due: bool,
    },
    /// Another replica has written this number, or one after it.
    Refused,
    /// Nothing was written: a snapshot must stand first. It is handed back to be appended then.
    SnapshotNeeded(Batch),
    /// Nobody knows whether it stands, for this reason.
    Unknown(String),
}

/// A batch for the copy on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its number.
    pub number: u64,
    /// The epoch after it.
    pub epoch: u64,
    /// The last entry after it.
    pub index: Index,
    /// As it is written.
    pub bytes: Arc<[u8]>,
}

/// What a replica is to others, and what it knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What it does.
    pub role: Role,
    /// Who leads, which may be itself; `None` while nobody is known to.
    pub leader: Option<Leader>,
    /// The highest epoch in the journal.
    pub epoch: u64,
    /// The last entry that it has applied; while it leads, the one with which it began to.
    pub index: Index,
    /// Why it isn't what it should be; empty if nothing is wrong.
    pub problem: String,
}

/// What a replica does just now, as far as it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It applies what another commits and decides nothing.
    #[default]
    Standby,
    /// It was elected and doesn't know yet whether the journal lets it lead.
    Claiming,
    /// The journal holds its claim: it decides.
    Leading,
}
