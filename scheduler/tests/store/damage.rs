//! Damage of every kind: the store is set aside or what it holds is true, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use epic_scheduler::store::{self, Checker, Error, Keeper, Options};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{History, aside, assert_is_true, checker, close, copied, filled, filled_twice, options, script};

const WEIGHT: usize = 4_000;
const BATCHES: u64 = 120;

/// What is done to the file that holds everything; places are parts of a million of its length.
#[derive(Clone, Debug)]
enum Damage {
    Flip { places: Vec<u32>, mask: u8 },
    Zero { place: u32, bytes: usize },
    Cut { place: u32 },
    Append { bytes: usize },
    Remove { name: &'static str },
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = || 0..1_000_000_u32;
    prop_oneof![
        4 => (prop::collection::vec(place(), 1..9), 1..=255_u8).prop_map(|(places, mask)| Damage::Flip { places, mask }),
        2 => (place(), 1..9000_usize).prop_map(|(place, bytes)| Damage::Zero { place, bytes }),
        3 => place().prop_map(|place| Damage::Cut { place }),
        1 => (1..9000_usize).prop_map(|bytes| Damage::Append { bytes }),
        1 => prop::sample::select(vec!["db", "conf", "snap."]).prop_map(|name| Damage::Remove { name }),
    ]
}

fn inflict(store: &Path, damage: &Damage) {
    let path = store.join("db");
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = |place: &u32| length * u64::from(*place) / 1_000_000;
    match damage {
        Damage::Flip { places, mask } => {
            for place in places.iter().map(at) {
                let mut byte = [0];
                file.read_exact_at(&mut byte, place).unwrap();
                file.write_all_at(&[byte[0] ^ mask], place).unwrap();
            }
        }
        Damage::Zero { place, bytes } => file.write_all_at(&vec![0; *bytes], at(place)).unwrap(),
        Damage::Cut { place } => file.set_len(at(place)).unwrap(),
        Damage::Append { bytes } => file.write_all_at(&vec![0xa5; *bytes], length).unwrap(),
        Damage::Remove { name } => remove(store, name),
    }
}

fn remove(store: &Path, name: &str) {
    for entry in fs::read_dir(store).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with(name) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn whatever_is_damaged_is_set_aside_or_does_not_matter() {
    let stores = [block_on(filled(BATCHES, WEIGHT)), block_on(filled_twice(BATCHES, WEIGHT))];
    let set_aside = std::cell::Cell::new(0);
    let cases = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(damage in damage(), store in 0..2_usize)| {
        let dir = copied(stores[store].path());
        inflict(&dir.path().join("store"), &damage);
        let options = Options { checker: checker().within(Duration::from_secs(15)), ..options() };
        let (held, keeper) = Keeper::open(dir.path(), options);
        drop(keeper);
        match held {
            Some(held) => {
                prop_assert_eq!(held.at.batch, BATCHES);
                assert_is_true(&held, WEIGHT);
                prop_assert_eq!(aside(dir.path()).len(), 0);
            }
            None => {
                prop_assert_eq!(aside(dir.path()).len(), 1, "nothing is held, and nothing was set aside");
                set_aside.set(set_aside.get() + 1);
            }
        }
    });
    assert!(set_aside.get() > 10, "only {} of 64 damages were noticed", set_aside.get());
}

#[test]
fn a_store_that_was_set_aside_is_made_anew_and_two_of_them_are_kept() {
    let dir = block_on(filled(BATCHES, WEIGHT));
    for round in 1..=3 {
        let file = File::options().write(true).open(dir.path().join("store/db")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let (held, keeper) = Keeper::open(dir.path(), options());
        assert!(held.is_none() && keeper.wants_reset());
        assert_eq!(aside(dir.path()).len(), round.min(2));
        let history = History { state: crate::support::state_after(BATCHES, WEIGHT), batch: BATCHES };
        keeper.reset(history.at(), history.state.clone());
        block_on(close(keeper));
        let held = store::read(dir.path(), &checker()).unwrap().unwrap();
        assert_is_true(&held, WEIGHT);
    }
    assert!(aside(dir.path())[1].ends_with("store.damaged-3"));
}

#[test]
fn an_emptied_store_and_an_older_one_are_not_taken_for_what_they_look_like() {
    let older = block_on(filled(60, WEIGHT));
    let younger = block_on(filled(BATCHES, WEIGHT));
    let store = |dir: &TempDir| dir.path().join("store");

    let emptied = copied(younger.path());
    fs::remove_dir_all(store(&emptied)).unwrap();
    fs::create_dir(store(&emptied)).unwrap();
    let error = store::read(emptied.path(), &checker()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    let (held, keeper) = Keeper::open(emptied.path(), options());
    assert!(held.is_none() && keeper.wants_reset());
    assert_eq!(aside(emptied.path()).len(), 1);

    let mixed = copied(older.path());
    fs::copy(younger.path().join("store.fence"), mixed.path().join("store.fence")).unwrap();
    let error = store::read(mixed.path(), &checker()).unwrap_err().to_string();
    assert!(error.contains("it holds batch 60") && error.contains("batch 120"), "{error}");
    let (held, _keeper) = Keeper::open(mixed.path(), options());
    assert!(held.is_none());
    assert_eq!(aside(mixed.path()).len(), 1);

    let gone = copied(younger.path());
    fs::remove_dir_all(store(&gone)).unwrap();
    let (held, keeper) = Keeper::open(gone.path(), options());
    assert!(held.is_none() && keeper.wants_reset());
    assert_eq!(aside(gone.path()).len(), 0);

    // A fence that is behind, gone or unreadable proves nothing.
    for fence in [Some(fs::read(older.path().join("store.fence")).unwrap()), None, Some(b"nonsense".to_vec())] {
        let dir = copied(younger.path());
        let path = dir.path().join("store.fence");
        fence.map_or_else(|| fs::remove_file(&path).unwrap(), |bytes| fs::write(&path, bytes).unwrap());
        let (held, _keeper) = Keeper::open(dir.path(), options());
        assert_eq!(held.unwrap().at.batch, BATCHES);
    }
}

#[test]
fn a_check_that_dies_hangs_or_says_nothing_is_damage() {
    let whole = block_on(filled(30, WEIGHT));
    for (script_text, limit) in
        [("kill -9 $$", 30_000), ("exec sleep 1000", 300), ("exit 0", 30_000), ("exit 1", 30_000)]
    {
        let dir = copied(whole.path());
        let began = Instant::now();
        let checker = script(dir.path(), script_text).within(Duration::from_millis(limit));
        let (held, _keeper) = Keeper::open(dir.path(), Options { checker, ..options() });
        assert!(held.is_none(), "{script_text}");
        assert_eq!(aside(dir.path()).len(), 1, "{script_text}");
        assert!(began.elapsed() < Duration::from_secs(30), "{script_text}");
    }
}

#[test]
fn a_check_that_cannot_say_leaves_the_store_where_it_is() {
    let whole = block_on(filled(30, WEIGHT));
    let dir = copied(whole.path());
    let checker = script(dir.path(), "echo 'epic-scheduler store-check: the disk is away' >&2; exit 74");
    let (held, keeper) = Keeper::open(dir.path(), Options { checker, ..options() });
    assert!(held.is_none());
    let condition = format!("{:?}", keeper.health().borrow().condition);
    assert!(condition.contains("Sick") && condition.contains("the disk is away"), "{condition}");
    assert_eq!(aside(dir.path()).len(), 0);

    let missing = Checker::of(dir.path().join("nowhere"));
    let (held, keeper) = Keeper::open(dir.path(), Options { checker: missing, ..options() });
    assert!(held.is_none() && format!("{:?}", keeper.health().borrow().condition).contains("cannot check the store"));
    assert_eq!(aside(dir.path()).len(), 0);
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
