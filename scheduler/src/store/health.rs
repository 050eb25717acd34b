//! How a store is, as its keeper shows it.

/// How a store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The last batch that is durable in it, 0 if none is.
    pub batch: u64,
    /// The epoch after that batch.
    pub epoch: u64,
    /// The bytes it takes on disk, 0 while it isn't open.
    pub disk_bytes: u64,
    /// Whether it does what it should.
    pub condition: Condition,
    /// Whether it needs the whole state ([`super::Keeper::reset`]): to begin with, to be made whole, or because
    /// so many batches have gathered that a new base is due.
    pub wants_reset: bool,
}

/// Whether a store does what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It holds nothing yet.
    #[default]
    Empty,
    /// It follows.
    Ok,
    /// It follows, more than two seconds late.
    Behind {
        /// How many batches wait to be written.
        batches: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It follows no more, for this reason; what it held may be there still.
    Sick(String),
}
