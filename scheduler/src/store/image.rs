//! A copy of a journal in a store: a base, the batches after it, and an account of both.
//!
//! A new base is written beside the old one and takes its place with one small change, so that a crash leaves one or the
//! other whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Flaw;
use super::held::Held;
use super::layout::{
    ACCOUNT, Account, Base, COUNT_BYTES, Key, count, pieces, read_account, seal, unseal, write_account,
};
use super::{Change, Error, Store};
use epic_scheduler_core::replica::At;

/// A copy that is open for writing.
#[derive(Debug)]
pub struct Image<S> {
    store: S,
    path: PathBuf,
    account: Option<Account>,
}

/// A batch to be written.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number.
    pub number: u64,
    /// The epoch after it.
    pub epoch: u64,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

impl<S: Store> Image<S> {
    /// Takes up the copy in a store that was examined, and removes what a crash left half written.
    ///
    /// # Errors
    /// The disk fails, or the account is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut store = S::open(path)?;
        let account = store.value(ACCOUNT)?.map(|value| read_account(&value)).transpose();
        let account = account.map_err(|flaw| Error::Damaged { path: path.to_owned(), flaw })?;
        sweep(&mut store, account.as_ref().map_or(0, |account| account.generation))?;
        Ok(Self { store, path: path.to_owned(), account })
    }

    /// Returns what the copy is true at; `None` if it is empty.
    #[must_use]
    pub fn at(&self) -> Option<At> {
        self.account.as_ref().map(|account| At {
            journal: account.journal.clone(),
            batch: account.batch,
            epoch: account.epoch,
        })
    }

    /// Returns the checksum of the last batch's bytes, if it is known.
    #[must_use]
    pub fn last_crc32(&self) -> Option<u32> {
        self.account.as_ref().and_then(|account| account.last_crc32)
    }

    /// Writes batches that come next; durable after [`Self::sync`].
    ///
    /// # Errors
    /// A batch doesn't come next, or the disk fails.
    pub fn append(&mut self, batches: &[Batch]) -> Result<(), Error> {
        let gap = |last, batch| Err(Error::Gap { path: self.path.clone(), last, batch });
        let Some(mut account) = self.account.clone() else {
            return gap(0, batches.first().map_or(0, |batch| batch.number));
        };
        let mut changes = Vec::new();
        for batch in batches {
            if batch.number != account.batch + 1 {
                return gap(account.batch, batch.number);
            }
            let count = count(&batch.bytes);
            for (piece, bytes) in (0..).zip(pieces(&batch.bytes)) {
                let key = Key::Batch { generation: account.generation, batch: batch.number, piece };
                changes.push(account.put(key, &[&count.to_be_bytes(), bytes].concat()));
            }
            account.bytes += batch.bytes.len() as u64;
            (account.batch, account.epoch) = (batch.number, batch.epoch);
            account.last_crc32 = Some(crc32fast::hash(&batch.bytes));
        }
        changes.push(Change::Put(ACCOUNT.to_vec(), write_account(&account)));
        self.store.apply(changes)?;
        self.account = Some(account);
        Ok(())
    }

    /// Puts a snapshot of the state at `at` in place of everything; durable when it returns.
    ///
    /// `last_crc32` is the checksum of batch `at.batch`, if it is known.
    ///
    /// # Errors
    /// The disk fails; what was there before is there still.
    pub fn rebase(&mut self, at: &At, last_crc32: Option<u32>, snapshot: &[u8]) -> Result<(), Error> {
        let generation = self.account.as_ref().map_or(0, |account| account.generation) + 1;
        let mut account = Account {
            journal: at.journal.clone(),
            batch: at.batch,
            epoch: at.epoch,
            last_crc32,
            generation,
            base: Base {
                batch: at.batch,
                pieces: count(snapshot),
                bytes: snapshot.len() as u64,
                crc32: crc32fast::hash(snapshot),
            },
            ..Account::default()
        };
        let mut changes = Vec::new();
        for (piece, bytes) in (0..).zip(pieces(snapshot)) {
            changes.push(account.put(Key::Base { generation, piece }, bytes));
            if changes.len() == PIECES_AT_ONCE {
                self.store.apply(std::mem::take(&mut changes))?;
                self.store.sync()?;
            }
        }
        self.store.apply(changes)?;
        self.store.sync()?;
        self.store.apply(vec![Change::Put(ACCOUNT.to_vec(), write_account(&account))])?;
        self.store.sync()?;
        self.account = Some(account);
        sweep(&mut self.store, generation)?;
        self.store.sync()
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.store.sync()
    }

    /// Tells how many batches, of how many bytes, came after the base.
    #[must_use]
    pub fn after_base(&self) -> (u64, u64) {
        self.account.as_ref().map_or((0, 0), |account| (account.batch - account.base.batch, account.bytes))
    }

    /// Returns the bytes it takes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Account {
    fn put(&mut self, key: Key, payload: &[u8]) -> Change {
        let key = key.bytes();
        let sealed = seal(&key, payload);
        self.values += 1;
        self.sum ^= sealed.crc32;
        Change::Put(key, sealed.value)
    }
}

/// Removes all values but those of one generation.
fn sweep<S: Store>(store: &mut S, generation: u64) -> Result<(), Error> {
    loop {
        let mut changes = Vec::new();
        store.each(&mut |key, _| {
            if Key::read(key).is_some_and(|key| key.generation() != generation) {
                changes.push(Change::Remove(key.to_vec()));
            }
            Ok(changes.len() < PIECES_AT_ONCE)
        })?;
        if changes.is_empty() {
            return Ok(());
        }
        store.apply(changes)?;
    }
}

/// Adds up the values of a store, in the order of their keys, and proves each of them and all together.
#[derive(Debug, Default)]
pub struct Assembly {
    account: Account,
    seen: bool,
    values: u64,
    sum: u32,
    snapshot: Vec<u8>,
    base_pieces: u32,
    batches: Vec<(u64, Vec<u8>)>,
    /// Pieces of the last batch that are there, and how many it has.
    last: (u32, u32),
}

impl Assembly {
    /// Takes the next key with its value.
    ///
    /// # Errors
    /// It isn't what was written there.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Flaw> {
        if key == ACCOUNT {
            self.account = read_account(value)?;
            self.seen = true;
            return Ok(());
        }
        let Some(named) = Key::read(key) else { return Err(Flaw::Key { key: super::layout::readable(key) }) };
        // What a crash left half written, or not yet swept.
        if !self.seen || named.generation() != self.account.generation {
            return Ok(());
        }
        let (payload, crc32) = unseal(key, value)?;
        self.values += 1;
        self.sum ^= crc32;
        match named {
            Key::Base { piece, .. } => self.add_base(piece, payload),
            Key::Batch { batch, piece, .. } => self.add_batch(batch, piece, payload),
        }
    }

    /// Returns the whole; `None` if the store is empty.
    ///
    /// # Errors
    /// It isn't whole.
    pub fn finish(self) -> Result<Option<Held>, Flaw> {
        if !self.seen {
            return Ok(None);
        }
        let account = self.account;
        if (self.values, self.sum) != (account.values, account.sum) {
            let (values, sum) = (account.values, account.sum);
            return Err(Flaw::Values { found: self.values, found_sum: self.sum, values, sum });
        }
        let base = Base {
            batch: account.base.batch,
            pieces: self.base_pieces,
            bytes: self.snapshot.len() as u64,
            crc32: crc32fast::hash(&self.snapshot),
        };
        if base != account.base {
            return Err(Flaw::Pieces { what: "the snapshot".to_owned() });
        }
        let last = account.base.batch + self.batches.len() as u64;
        if self.last.0 != self.last.1 || last != account.batch {
            return Err(Flaw::Pieces { what: format!("batch {}", last + 1) });
        }
        Ok(Some(Held {
            at: At { journal: account.journal, batch: account.batch, epoch: account.epoch },
            last_crc32: account.last_crc32,
            base: account.base.batch,
            snapshot: self.snapshot,
            batches: self.batches,
        }))
    }

    fn add_base(&mut self, piece: u32, payload: &[u8]) -> Result<(), Flaw> {
        if piece != self.base_pieces {
            return Err(Flaw::Pieces { what: "the snapshot".to_owned() });
        }
        self.base_pieces += 1;
        self.snapshot.extend_from_slice(payload);
        Ok(())
    }

    fn add_batch(&mut self, batch: u64, piece: u32, payload: &[u8]) -> Result<(), Flaw> {
        let broken = || Flaw::Pieces { what: format!("batch {batch}") };
        let (count, bytes) = payload.split_first_chunk::<COUNT_BYTES>().ok_or_else(broken)?;
        let count = u32::from_be_bytes(*count);
        if piece == 0 {
            let next = self.account.base.batch + self.batches.len() as u64 + 1;
            if self.last.0 != self.last.1 || batch != next {
                return Err(broken());
            }
            self.batches.push((batch, bytes.to_vec()));
            self.last = (1, count);
            return Ok(());
        }
        match self.batches.last_mut() {
            Some((number, whole)) if *number == batch && (piece, count) == self.last => {
                whole.extend_from_slice(bytes);
                self.last.0 += 1;
                Ok(())
            }
            Some(_) | None => Err(broken()),
        }
    }
}

/// 4 MiB of values.
const PIECES_AT_ONCE: usize = 1024;

#[cfg(test)]
mod tests;
