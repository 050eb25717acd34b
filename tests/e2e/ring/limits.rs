//! What a journal needs of its servers, and of its snapshots.

use epic_scheduler::journal::Recovered;
use epic_scheduler::journal::ring::{self, Error, Ring};
use epic_scheduler::zookeeper::{Client, State};
use epic_tests::zookeeper::ZooKeeper;

use super::place::{Place, payload, written};

super::with_both_clients! {
    servers_that_take_less_than_the_largest_batch_are_found_out_before_it_is_written,
    a_probe_that_finds_no_server_blames_no_limit,
    a_damaged_snapshot_is_made_up_for_while_the_ring_holds_what_came_since_the_one_before,
}

async fn servers_that_take_less_than_the_largest_batch_are_found_out_before_it_is_written(client: Client) {
    let zookeeper = ZooKeeper::start_with(&["-Djute.maxbuffer=200000"]).await.unwrap();
    let narrow = Place { zookeeper, client };
    let ring = narrow.made().await;
    let refused = ring.probe().await.unwrap_err();
    assert!(matches!(refused, Error::SizeLimit { bytes: 524_332, .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("does not take 524332 bytes in one node; set jute.maxbuffer to 528384 or more"), "{text}");
    // The session that leads has nothing to do with it.
    assert_eq!(ring.session().state(), State::Connected);
    written(ring.append(1, 1, &payload(1)).await);
    // A journal is found and probed without the node, and has it empty afterwards.
    let wide = Place::start(client).await;
    let ring = wide.made().await;
    ring.probe().await.unwrap();
    assert_eq!(ring.session().read("/probe").await.unwrap().bytes, b"");
    ring.probe().await.unwrap();
    written(ring.append(1, 1, &vec![7; 512 << 10]).await);
    assert_eq!(ring::init(ring.session()).await.unwrap(), ring::Initialised::Already);
}

async fn a_probe_that_finds_no_server_blames_no_limit(client: Client) {
    let mut place = Place::start(client).await;
    let ring = place.made().await;
    place.zookeeper.kill();
    let refused = ring.probe().await.unwrap_err();
    assert!(matches!(refused, Error::Call(_)), "{refused}");
}

async fn a_damaged_snapshot_is_made_up_for_while_the_ring_holds_what_came_since_the_one_before(client: Client) {
    let place = Place::start(client).await;
    let ring = place.made().await;
    for batch in 1..=7 {
        written(ring.append(batch, 1, &payload(batch)).await);
        if [4, 6].contains(&batch) {
            ring.snapshot(batch, &payload(batch)).await.unwrap();
        }
    }
    // The one that held batch 6 can't be read any more.
    spoil(&ring, 6).await;
    let next = place.ring().await;
    check(&next.recover().await.unwrap(), 4, 7);
    assert!(next.should_snapshot());
    // Another snapshot takes its place; should that be damaged too, there is still the one before both.
    next.snapshot(7, &payload(7)).await.unwrap();
    assert!(!next.should_snapshot());
    check(&next.recover().await.unwrap(), 7, 7);
    spoil(&next, 7).await;
    let last = place.ring().await;
    check(&last.recover().await.unwrap(), 4, 7);
    last.snapshot(7, &payload(7)).await.unwrap();
    check(&place.ring().await.recover().await.unwrap(), 7, 7);
    for batch in 8..=15 {
        written(last.append(batch, 1, &payload(batch)).await);
        if batch == 14 {
            last.snapshot(batch, &payload(batch)).await.unwrap();
        }
    }
    spoil(&last, 14).await;
    check(&place.ring().await.recover().await.unwrap(), 7, 15);
    // Once batch 8 is overwritten nothing makes up for the snapshot.
    written(last.append(16, 1, &payload(16)).await);
    let refused = place.ring().await.recover().await.unwrap_err();
    assert!(matches!(refused, Error::Snapshot { .. }), "{refused}");
}

/// Checks that a snapshot and all batches after it were read.
fn check(recovered: &Recovered, snapshot: u64, last: u64) {
    let read = recovered.snapshot.as_ref().unwrap();
    assert_eq!((read.batch, &read.bytes), (snapshot, &payload(snapshot)));
    assert_eq!(recovered.batches, (snapshot + 1..=last).map(|batch| (batch, payload(batch))).collect::<Vec<_>>());
}

/// Damages all snapshots of a batch.
async fn spoil(ring: &Ring, batch: u64) {
    let names = ring.session().children("/snapshots").await.unwrap();
    let names: Vec<_> = names.iter().filter(|name| name.starts_with(&format!("{batch}-"))).collect();
    assert!(!names.is_empty(), "there is no snapshot of batch {batch}");
    for name in names {
        ring.session().write(&format!("/snapshots/{name}/0"), b"nonsense", None).await.unwrap();
    }
}
