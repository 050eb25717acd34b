//! Why a batch or a snapshot can't be read.

use epic_common::ids::Malformed;
use epic_common_io::conversation;

/// What can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not protobuf, or not of this message.
    #[error("cannot decode {what}")]
    Undecodable {
        /// The message.
        what: &'static str,
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// Not of a format that this program knows.
    #[error(
        "{what} has format {found}, but this program knows only formats from 1 to {known}; start the program that wrote it, or a later one"
    )]
    Format {
        /// The message.
        what: &'static str,
        /// Its format.
        found: u32,
        /// The latest format that this program knows.
        known: u32,
    },
    /// An entry of a kind that a later version has added; whoever applies it must stop.
    #[error(
        "entry {index} is of a kind that this program doesn't know; start the program that wrote it, or a later one"
    )]
    UnknownFact {
        /// The entry's position in the journal.
        index: u64,
    },
    /// A field isn't what it has to be.
    #[error("cannot read {object}")]
    Wrong {
        /// Such as `entry 17` or `task worker-1.3`.
        object: String,
        /// Which field, and what is wrong with it.
        source: Flaw,
    },
    /// Every field can be read, but together they can't be true.
    #[error("a snapshot contradicts itself: {contradiction}")]
    Contradiction {
        /// Which rule is broken.
        contradiction: String,
    },
}

/// What is wrong with one field.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It must be there and isn't.
    #[error("{field} is missing")]
    Missing {
        /// The field's path in the object.
        field: &'static str,
    },
    /// It has a value that it can't have.
    #[error("{field} can't be {found}")]
    OutOfRange {
        /// The field's path in the object.
        field: &'static str,
        /// The value.
        found: String,
    },
    /// It has another number of bytes than it must have.
    #[error("{field} has {found} bytes instead of {expected}")]
    Length {
        /// The field's path in the object.
        field: &'static str,
        /// How many it has.
        found: usize,
        /// How many it must have.
        expected: usize,
    },
    /// It names a task, but can't be read.
    #[error("{field} is not a task's name")]
    Task {
        /// The field's path in the object.
        field: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// It names a unit, but can't be read.
    #[error("{field} is not a unit's name")]
    Unit {
        /// The field's path in the object.
        field: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// It is a message that is shared with executors, and can't be read.
    #[error("{field} can't be read")]
    Shared {
        /// The field's path in the object.
        field: &'static str,
        /// What is wrong with it.
        source: conversation::Error,
    },
}
