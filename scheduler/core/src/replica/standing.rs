//! How what a replica has followed stands to a journal: whether it may go on from there.

/// A place in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Tells this journal from all others.
    pub journal: String,
    /// The last batch.
    pub batch: u64,
    /// The epoch that the state has after it.
    pub epoch: u64,
}

/// How a copy stands to a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The journal holds all of it and goes on from there.
    Whole,
    /// The journal is beyond it by more than the ring holds: only a snapshot leads further.
    Lapped,
    /// The journal ends before it: ZooKeeper was emptied, or restored from a backup.
    Ahead,
    /// The journal holds another batch of the same number: it was restored, and went on without us.
    Forked,
    /// It is of another journal: that one was made anew, or the state directory is another framework's.
    Other,
}

impl Standing {
    /// Says why a replica with this copy must stand still, and what to do; `None` if it may go on.
    #[must_use]
    pub fn problem(self, at: &At) -> Option<String> {
        let batch = at.batch;
        let found = match self {
            Self::Whole | Self::Lapped => return None,
            Self::Ahead => format!(
                "ends before batch {batch}, which this replica's store holds: it was restored or lost something"
            ),
            Self::Forked => {
                format!("holds another batch {batch} than this replica's store: it was restored and has gone on since")
            }
            Self::Other => format!("is another one than {}, which this replica's store holds", at.journal),
        };
        let next = "restore the newer of the two; if ZooKeeper's is right, stop this replica, run epic-scheduler state \
                    forget STATE-DIR --yes, and start it again";
        Some(format!("the journal in ZooKeeper {found}; {next}"))
    }
}
