//! What is kept is held after the next opening, wherever the base stands.

use std::fs;

use epic_scheduler::journal::Recovered;
use epic_scheduler::store::{self, Condition, Error, Keeper};
use epic_scheduler_core::replica::At;

use crate::support::{History, JOURNAL, assert_is_true, at, checker, close, fast_dir, filled, options, until};

#[tokio::test]
async fn a_new_store_wants_the_state_and_then_follows() {
    let dir = fast_dir();
    let (held, keeper) = Keeper::open(dir.path(), options());
    assert_eq!(held, None);
    let mut health = keeper.health();
    assert!(health.borrow().wants_reset && health.borrow().condition == Condition::Empty);
    let mut history = History::default();
    keeper.reset(history.at(), history.state.clone());
    until(&mut health, |health| health.condition == Condition::Ok).await;
    for weight in [0, 10, 5_000, 300_000, 0] {
        let bytes = history.next(weight);
        keeper.batch(history.batch, history.batch, bytes);
    }
    let seen = until(&mut health, |health| health.batch == 5).await;
    assert_eq!((seen.epoch, &seen.condition, seen.wants_reset), (5, &Condition::Ok, false));
    assert!(seen.disk_bytes > 300_000);
    close(keeper).await;

    let (held, keeper) = Keeper::open(dir.path(), options());
    let held = held.unwrap();
    assert_eq!((&held.at, held.base, held.batches.len()), (&at(5), 0, 5));
    assert_eq!(held.last_crc32, Some(crc32fast::hash(&held.batches[4].1)));
    assert_eq!(crate::support::fold(&held), history.state);
    assert!(!keeper.wants_reset());
    let recovered = Recovered::from(held.clone());
    assert_eq!((recovered.snapshot.unwrap().batch, recovered.batches), (0, held.batches));

    // The next opening goes on where the last one ended; what is told again is left out.
    let again = History { batch: 4, ..History::default() }.next(0);
    keeper.batch(5, 5, again);
    let bytes = history.next(7);
    keeper.batch(6, 6, bytes.clone());
    keeper.reset(history.at(), history.state.clone());
    let bytes_after = history.next(7);
    keeper.batch(7, 7, bytes_after);
    close(keeper).await;
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert_eq!((held.at.batch, held.base, held.batches.len()), (7, 6, 1));
    assert_eq!(crate::support::fold(&held), history.state);
}

#[tokio::test]
async fn another_journal_and_an_older_place_take_the_place_of_what_was_held() {
    let dir = filled(40, 20).await;
    let (held, keeper) = Keeper::open(dir.path(), options());
    assert_is_true(&held.unwrap(), 20);
    let older = History { batch: 3, state: crate::support::state_after(3, 20) };
    keeper.reset(older.at(), older.state.clone());
    close(keeper).await;
    let (held, keeper) = Keeper::open(dir.path(), options());
    let held = held.unwrap();
    assert_eq!(held.at, at(3));
    assert_is_true(&held, 20);
    let other = At { journal: "another".to_owned(), batch: 2, epoch: 1 };
    keeper.reset(other.clone(), older.state.clone());
    close(keeper).await;
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert_eq!((held.at, held.last_crc32), (other, None));
    assert_eq!(crate::support::aside(dir.path()).len(), 0);
}

#[tokio::test]
async fn a_base_knows_the_checksum_of_the_batch_that_it_ends_with() {
    let dir = fast_dir();
    let (_, keeper) = Keeper::open(dir.path(), options());
    let mut history = History::default();
    keeper.reset(history.at(), history.state.clone());
    let bytes = history.next(9);
    keeper.batch(1, 1, bytes.clone());
    keeper.reset(history.at(), history.state.clone());
    close(keeper).await;
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert_eq!((held.base, held.last_crc32), (1, Some(crc32fast::hash(&bytes))));
    let (_, keeper) = Keeper::open(dir.path(), options());
    keeper.reset(history.at(), history.state.clone());
    close(keeper).await;
    assert_eq!(store::read(dir.path(), &checker()).unwrap().unwrap().last_crc32, Some(crc32fast::hash(&bytes)));
}

#[tokio::test]
async fn reading_offline_changes_nothing_and_needs_a_store_that_nobody_has() {
    let dir = fast_dir();
    assert!(matches!(store::read(dir.path(), &checker()), Err(Error::Missing { .. })));
    let dir = filled(30, 100).await;
    let before = contents(dir.path());
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert_eq!(held.at.journal, JOURNAL);
    assert_is_true(&held, 100);
    assert_eq!(contents(dir.path()), before);

    let (_, keeper) = Keeper::open(dir.path(), options());
    let bytes = History { state: crate::support::fold(&held), batch: 30 }.next(100);
    keeper.batch(31, 31, bytes);
    until(&mut keeper.health(), |health| health.batch == 31).await;
    let error = store::read(dir.path(), &checker()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    close(keeper).await;
}

fn contents(state_dir: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let names = ["store.fence", "store/db", "store/conf"];
    let names = names.iter().map(|name| ((*name).to_owned(), fs::read(state_dir.join(name)).unwrap()));
    let count = fs::read_dir(state_dir.join("store")).unwrap().count();
    names.chain([(format!("{count} files"), vec![])]).collect()
}
