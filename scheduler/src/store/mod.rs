//! What a replica keeps on its own disk of the journal in ZooKeeper: a copy to start from, never the truth.
//!
//! The copy is a snapshot and the batches after it, in an embedded store. It is written behind everybody's back: no call
//! and no answer waits for it, and a store that fails is only flagged.

pub mod check;
mod dump;
pub mod error;
pub mod examine;
mod fence;
pub mod forget;
pub mod health;
pub mod held;
pub mod image;
pub mod keeper;
pub mod layout;
mod queue;
pub mod read;
pub mod sled;
pub mod standing;
mod writer;

use std::path::Path;

use crate::journal::disk;

pub use error::Error;
pub use examine::Checker;
pub use health::{Condition, Health};
pub use held::Held;
pub use keeper::{Keeper, Options};
pub use read::read;
pub use standing::standing;

/// The directory below the state directory.
pub const NAME: &str = "store";

/// One change of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts a value in place of what the key had.
    Put(Vec<u8>, Vec<u8>),
    /// Takes the key away.
    Remove(Vec<u8>),
}

/// Is shown a key with its value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Error> + 'a;

/// An ordered map of bytes on disk; another engine takes the place of [`sled`] by implementing this.
///
/// Keys have at most 32 bytes, values at most [`layout::VALUE_BYTES_MAX`]. All methods block on the disk.
pub trait Store: Sized {
    /// Opens the store in a directory, which is made if it isn't there.
    ///
    /// # Errors
    /// The directory can't be used. Damage may show as a panic or a hang: see [`examine`].
    fn open(dir: &Path) -> Result<Self, Error>;

    /// Makes all of the changes or, after a crash, none of them.
    ///
    /// # Errors
    /// The disk fails; the store is of no use afterwards.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), Error>;

    /// Makes durable what was applied, so that a power cut leaves it there.
    ///
    /// # Errors
    /// The disk fails; the store is of no use afterwards.
    fn sync(&mut self) -> Result<(), Error>;

    /// Returns a key's value.
    ///
    /// # Errors
    /// The disk fails.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Shows all keys with their values in order, until `visit` says `false`.
    ///
    /// # Errors
    /// The disk fails, or `visit` does.
    fn each(&self, visit: &mut Visit<'_>) -> Result<(), Error>;

    /// Returns the bytes it takes on disk.
    fn bytes(&self) -> u64;
}
