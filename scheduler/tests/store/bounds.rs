//! Queues, sizes and gaps: what has a bound keeps it, and a reset makes whole what was lost.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use epic_scheduler::store::{self, Condition, Keeper};

use crate::support::{History, assert_is_true, checker, close, fast_dir, filled, is_sick, options, state_after, until};

#[tokio::test]
async fn a_queue_that_overflows_makes_the_store_sick_until_a_reset() {
    let dir = fast_dir();
    let (_, keeper) = Keeper::open(dir.path(), options());
    let mut history = History::default();
    keeper.reset(history.at(), history.state.clone());
    let mut health = keeper.health();
    until(&mut health, |health| health.condition == Condition::Ok).await;
    let large: Arc<[u8]> = vec![7; 512 << 10].into();
    let began = Instant::now();
    for number in 1..=1000 {
        keeper.batch(number, number, large.clone());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "somebody waited: {:?}", began.elapsed());
    let sick = until(&mut health, is_sick).await;
    assert!(sick.wants_reset, "{sick:?}");
    let Condition::Sick(why) = sick.condition else { unreachable!("it is sick") };
    assert!(why.contains("batches wait to be written"), "{why}");

    while history.batch < 1000 {
        history.next(0);
    }
    keeper.reset(history.at(), history.state.clone());
    until(&mut health, |health| health.batch == 1000 && health.condition == Condition::Ok).await;
    let bytes = history.next(0);
    keeper.batch(1001, 1001, bytes);
    close(keeper).await;
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert_eq!((held.at.batch, held.base), (1001, 1000));
    assert_is_true(&held, 0);
}

#[tokio::test]
async fn a_batch_that_is_missing_is_noticed() {
    let dir = filled(20, 5).await;
    let (held, keeper) = Keeper::open(dir.path(), options());
    let mut history = History { batch: 20, state: crate::support::fold(&held.unwrap()) };
    history.next(5);
    let after = history.next(5);
    keeper.batch(22, 22, after);
    let sick = until(&mut keeper.health(), is_sick).await;
    assert!(sick.wants_reset && sick.batch == 20 && format!("{sick:?}").contains("batch 22 before 21"), "{sick:?}");
    keeper.reset(history.at(), history.state.clone());
    close(keeper).await;
    assert_is_true(&store::read(dir.path(), &checker()).unwrap().unwrap(), 5);
}

#[tokio::test]
async fn forty_thousand_batches_take_no_more_space_than_a_few_thousand() {
    let dir = fast_dir();
    let (_, keeper) = Keeper::open(dir.path(), options());
    let mut history = History::default();
    let mut health = keeper.health();
    let (mut resets, mut largest) = (0, 0);
    while history.batch < 40_000 {
        if keeper.wants_reset() {
            keeper.reset(history.at(), history.state.clone());
            resets += 1;
        }
        for _ in 0..100 {
            let bytes = history.next(150);
            keeper.batch(history.batch, history.batch, bytes);
        }
        let near = history.batch.saturating_sub(500);
        let seen = until(&mut health, |health| health.batch >= near).await;
        largest = largest.max(seen.disk_bytes);
    }
    close(keeper).await;
    assert!((9..=40).contains(&resets), "{resets} resets");
    assert!(largest < 32 << 20, "{largest} bytes on disk");
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert!(held.batches.len() <= 4096 + 700, "{} batches after the base", held.batches.len());
    assert_eq!(held.at.batch, 40_000);
    assert_is_true(&held, 150);
    // What goes there is never given back, and isn't durable.
    assert_eq!(fs::read_dir(dir.path().join("store/blobs")).unwrap().count(), 0);
}

#[tokio::test]
async fn large_batches_and_a_large_base_are_never_kept_outside_of_the_one_file() {
    let dir = fast_dir();
    let (_, keeper) = Keeper::open(dir.path(), options());
    let mut history = History::default();
    let mut health = keeper.health();
    for weight in [500_000, 499_999, 1, 500_000, 300_000, 20, 400_000].into_iter().cycle().take(70) {
        if keeper.wants_reset() {
            keeper.reset(history.at(), history.state.clone());
        }
        let bytes = history.next(weight);
        keeper.batch(history.batch, history.batch, bytes);
        until(&mut health, |health| health.batch + 4 >= history.batch).await;
    }
    close(keeper).await;
    let held = store::read(dir.path(), &checker()).unwrap().unwrap();
    assert!(held.base > 20, "the base is still {}", held.base);
    assert_eq!(crate::support::fold(&held), history.state);
    assert_eq!(fs::read_dir(dir.path().join("store/blobs")).unwrap().count(), 0);
    let bytes = fs::metadata(dir.path().join("store/db")).unwrap().len();
    assert!(bytes < 96 << 20, "{bytes} bytes on disk");
}

#[tokio::test]
async fn a_store_that_gets_no_new_base_stops_growing() {
    let dir = filled(20, 5).await;
    let (_, keeper) = Keeper::open(dir.path(), options());
    let mut history = History { batch: 20, state: state_after(20, 5) };
    let mut health = keeper.health();
    while !is_sick(&health.borrow()) {
        assert!(history.batch < 60_000, "it grows and grows");
        for _ in 0..500 {
            let bytes = history.next(5);
            keeper.batch(history.batch, history.batch, bytes);
        }
        let near = history.batch.saturating_sub(5_000);
        until(&mut health, |health| is_sick(health) || health.batch >= near).await;
    }
    assert!(health.borrow().wants_reset);
    keeper.reset(history.at(), history.state.clone());
    until(&mut health, |health| health.condition == Condition::Ok).await;
    close(keeper).await;
    assert_is_true(&store::read(dir.path(), &checker()).unwrap().unwrap(), 5);
}
