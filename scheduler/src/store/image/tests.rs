//! A crash after any of the changes that are made: what is there is whole, and true.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::store::Visit;
use crate::store::layout::VALUE_BYTES_MAX;

thread_local! {
    /// All changes that were made in this thread, in order, as far as they are atomic.
    static LOG: RefCell<Vec<Vec<Change>>> = const { RefCell::new(Vec::new()) };
}

/// A store in memory that begins with what the log says.
struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for Memory {
    fn open(_dir: &Path) -> Result<Self, Error> {
        Ok(LOG.with_borrow(|log| after(log)))
    }

    fn apply(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        self.make(&changes);
        LOG.with_borrow_mut(|log| log.push(changes));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        for (key, value) in &self.0 {
            if !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

impl Memory {
    fn make(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    assert!(key.len() <= 32 && value.len() <= VALUE_BYTES_MAX, "{} bytes", value.len());
                    self.0.insert(key.clone(), value.clone());
                }
                Change::Remove(key) => {
                    self.0.remove(key).expect("nothing is removed that isn't there");
                }
            }
        }
    }

    fn held(&self) -> Option<Held> {
        let mut assembly = Assembly::default();
        self.0.iter().try_for_each(|(key, value)| assembly.add(key, value)).unwrap();
        assembly.finish().unwrap()
    }
}

fn after(log: &[Vec<Change>]) -> Memory {
    let mut memory = Memory(BTreeMap::new());
    log.iter().for_each(|changes| memory.make(changes));
    memory
}

fn at(batch: u64) -> At {
    At { journal: "j".to_owned(), batch, epoch: batch / 3 }
}

fn snapshot(batch: u64) -> Vec<u8> {
    // More than goes into one change, and a few bytes besides.
    batch.to_be_bytes().repeat(700_000 + usize::try_from(batch).unwrap())
}

fn batch(number: u64) -> Batch {
    let bytes = number.to_be_bytes().repeat(usize::try_from(number % 4).unwrap() * 900).into();
    Batch { number, epoch: number / 3, bytes }
}

/// Asserts that it is what was written up to the batch that it names.
fn assert_is_true(held: &Held) {
    assert_eq!((&held.at, &held.snapshot), (&at(held.at.batch), &snapshot(held.base)));
    let batches = (held.base + 1..=held.at.batch).map(batch).map(|batch| (batch.number, batch.bytes.to_vec()));
    assert_eq!(held.batches, batches.collect::<Vec<_>>());
}

#[test]
fn after_any_change_the_copy_is_whole_and_never_goes_back() {
    let mut image = Image::<Memory>::open(Path::new("")).unwrap();
    image.rebase(&at(2), None, &snapshot(2)).unwrap();
    image.append(&[batch(3), batch(4)]).unwrap();
    image.append(&[batch(5)]).unwrap();
    image.rebase(&at(9), Some(1), &snapshot(9)).unwrap();
    image.append(&[batch(10), batch(11), batch(12)]).unwrap();
    let log = LOG.take();
    let (mut last, mut seen) = (0, Vec::new());
    for length in 0..=log.len() {
        let Some(held) = after(&log[..length]).held() else {
            assert!(seen.is_empty(), "it is empty after change {length}");
            continue;
        };
        assert_is_true(&held);
        assert!(held.at.batch >= last);
        last = held.at.batch;
        seen.push((held.base, held.at.batch));

        // Whoever opens it sweeps what is of no use, and goes on.
        LOG.set(log[..length].to_vec());
        let mut image = Image::<Memory>::open(Path::new("")).unwrap();
        assert_eq!(image.at(), Some(held.at.clone()));
        image.append(&[batch(last + 1)]).unwrap();
        let store = image.store;
        assert_is_true(&store.held().unwrap());
        let useful = 1 + count(&snapshot(held.base)) as usize;
        let pieces: usize = (held.base + 1..=last + 1).map(|number| count(&batch(number).bytes) as usize).sum();
        assert_eq!(store.0.len(), useful + pieces, "something is left over after change {length}");
    }
    seen.dedup();
    assert_eq!(seen, [(2, 2), (2, 4), (2, 5), (9, 9), (9, 12)]);
}

#[test]
fn a_value_that_is_missing_changed_or_too_much_is_noticed() {
    let mut image = Image::<Memory>::open(Path::new("")).unwrap();
    image.rebase(&at(1), None, &[7; 10_000]).unwrap();
    image.append(&[batch(2), batch(3), batch(4)]).unwrap();
    let whole = image.store.0;
    LOG.take();
    let held = |pairs: &BTreeMap<Vec<u8>, Vec<u8>>| {
        let mut assembly = Assembly::default();
        pairs.iter().try_for_each(|(key, value)| assembly.add(key, value))?;
        assembly.finish()
    };
    assert_eq!(held(&whole).unwrap().unwrap().at, at(4));
    for (key, value) in whole.iter().filter(|(key, _)| *key != ACCOUNT) {
        let mut less = whole.clone();
        less.remove(key);
        held(&less).unwrap_err();
        let mut changed = whole.clone();
        let payload = [unseal(key, value).unwrap().0, b"x"].concat();
        changed.insert(key.clone(), seal(key, &payload).value);
        held(&changed).unwrap_err();
    }
    let more = [Key::Base { generation: 1, piece: 3 }, Key::Batch { generation: 1, batch: 5, piece: 0 }];
    for key in more.map(Key::bytes) {
        let mut pairs = whole.clone();
        pairs.insert(key.clone(), seal(&key, &[0, 0, 0, 1]).value);
        held(&pairs).unwrap_err();
    }
    let mut strange = whole;
    strange.insert(b"strange".to_vec(), vec![]);
    held(&strange).unwrap_err();
}

#[test]
fn a_batch_that_does_not_come_next_is_refused() {
    let mut image = Image::<Memory>::open(Path::new("")).unwrap();
    assert!(matches!(image.append(&[batch(1)]), Err(Error::Gap { last: 0, batch: 1, .. })));
    image.rebase(&at(1), None, b"").unwrap();
    for wrong in [1, 3] {
        assert!(matches!(image.append(&[batch(wrong)]), Err(Error::Gap { last: 1, batch, .. }) if batch == wrong));
    }
    image.append(&[batch(2)]).unwrap();
    LOG.take();
}
