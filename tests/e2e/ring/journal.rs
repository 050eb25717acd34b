//! What a journal in a real ZooKeeper does, whichever client speaks with it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_scheduler::journal::ring::{self, Append, Error, Initialised, Next, Ring};
use epic_scheduler::zookeeper::{Client, Kind, Refusal, Session};

use super::place::{Place, SLOTS, payload, written};

super::with_both_clients! {
    a_journal_is_made_once_and_only_where_there_is_room,
    what_one_replica_appends_the_others_follow_and_recover,
    of_two_writers_one_is_deposed_even_after_sleeping_for_laps,
    no_batch_overwrites_one_that_no_snapshot_holds,
    a_snapshot_of_many_chunks_is_read_whole_or_not_at_all,
    without_its_credentials_a_journal_is_neither_read_nor_written,
    neither_nodes_nor_bytes_grow_with_five_thousand_batches,
}

async fn a_journal_is_made_once_and_only_where_there_is_room(client: Client) {
    let place = Place::start(client).await;
    let session = place.session("", "/a/epic").await;
    let refused = Ring::open(session.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("run epic-scheduler init --zk zk://"), "{refused}");
    assert_eq!(ring::init(&session).await.unwrap(), Initialised::New);
    let id = Ring::open(session.clone()).await.unwrap().id().to_owned();
    assert_eq!(ring::init(&session).await.unwrap(), Initialised::Already);
    assert_eq!(ring::init_with(&session, SLOTS).await.unwrap(), Initialised::Already);
    let ring = Ring::open(session.clone()).await.unwrap();
    assert_eq!(ring.id(), id);
    assert_eq!(session.children("/journal").await.unwrap().len(), 1024);
    assert!(ring.is_at_end(0).await.unwrap());

    let other = place.session("", "/a").await;
    let refused = ring::init(&other).await.unwrap_err();
    assert!(refused.to_string().contains("is no journal of this program"), "{refused}");
    // Whoever was interrupted is followed by somebody who goes on.
    let torn = place.session("", "/torn").await;
    torn.create_root().await.unwrap();
    torn.create("/journal", b"", Kind::Lasting).await.unwrap();
    torn.create("/journal/1", b"", Kind::Lasting).await.unwrap();
    let refused = Ring::open(torn.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("not finished; run epic-scheduler init"), "{refused}");
    assert_eq!(ring::init_with(&torn, SLOTS).await.unwrap(), Initialised::New);
    torn.write("/", br#"{"format":2}"#, None).await.unwrap();
    let refused = Ring::open(torn).await.unwrap_err();
    assert!(refused.to_string().contains("has format 2, but this program knows only formats up to 1"), "{refused}");
}

async fn what_one_replica_appends_the_others_follow_and_recover(client: Client) {
    let place = Place::start(client).await;
    let leader = place.made().await;
    let follower = place.ring().await;
    let follow = tokio::spawn(async move {
        let mut read = Vec::new();
        for after in 0..5 {
            // A wait that is dropped takes nothing with it.
            let _dropped = tokio::time::timeout(Duration::from_millis(1), follower.next(after)).await;
            read.push(follower.next(after).await.unwrap());
        }
        assert!(follower.is_at_end(5).await.unwrap());
        assert!(!follower.is_at_end(4).await.unwrap());
        read
    });
    for batch in 1..=5 {
        written(leader.append(batch, 1, &payload(batch)).await);
    }
    let expected: Vec<_> = (1..=5).map(|batch| Next::Batch(payload(batch))).collect();
    assert_eq!(follow.await.unwrap(), expected);
    let recovered = place.ring().await.recover().await.unwrap();
    assert_eq!(recovered.snapshot, None);
    assert_eq!(recovered.batches, (1..=5).map(|batch| (batch, payload(batch))).collect::<Vec<_>>());
    let refused = leader.append(7, 1, b"").await.unwrap_err();
    assert!(matches!(refused, Error::NotNext { batch: 7, position: 5 }), "{refused}");
    let refused = leader.append(6, 1, &vec![0; (512 << 10) + 1]).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    written(leader.append(6, 1, &vec![7; 512 << 10]).await);
}

async fn of_two_writers_one_is_deposed_even_after_sleeping_for_laps(client: Client) {
    let place = Place::start(client).await;
    let (first, second) = (place.made().await, place.ring().await);
    written(first.append(1, 1, b"first").await);
    second.recover().await.unwrap();
    written(second.append(2, 2, b"second").await);
    assert_eq!(first.append(2, 1, b"first").await.unwrap(), Append::Deposed);
    assert_eq!(first.next(1).await.unwrap(), Next::Batch(b"second".to_vec()));
    // The first one sleeps while the second writes two laps.
    for batch in 3..=20 {
        if second.must_snapshot(batch) {
            second.snapshot(batch - 1, &payload(batch - 1)).await.unwrap();
        }
        written(second.append(batch, 2, &payload(batch)).await);
    }
    assert_eq!(first.append(3, 1, b"first").await.unwrap(), Append::Deposed);
    assert_eq!(first.next(2).await.unwrap(), Next::Lapped);
    assert!(!first.is_at_end(2).await.unwrap());
    let recovered = first.recover().await.unwrap();
    let snapshot = recovered.snapshot.unwrap();
    assert_eq!(snapshot.bytes, payload(snapshot.batch));
    let rest: Vec<_> = (snapshot.batch + 1..=20).map(|batch| (batch, payload(batch))).collect();
    assert_eq!(recovered.batches, rest);
    assert!(first.is_at_end(20).await.unwrap());
    written(first.append(21, 3, b"first").await);
}

async fn no_batch_overwrites_one_that_no_snapshot_holds(client: Client) {
    let place = Place::start(client).await;
    let (ring, other) = (place.made().await, place.ring().await);
    for batch in 1..=8 {
        assert!(!ring.must_snapshot(batch));
        ring.append(batch, 1, &payload(batch)).await.unwrap();
    }
    assert!(ring.should_snapshot() && ring.must_snapshot(9));
    let refused = ring.append(9, 1, b"").await.unwrap_err();
    assert!(matches!(refused, Error::SnapshotNeeded { batch: 9, needed: 1 }), "{refused}");
    let refused = ring.snapshot(9, b"").await.unwrap_err();
    assert!(matches!(refused, Error::NotASnapshot { batch: 9, position: 8 }), "{refused}");
    // Another replica's snapshot will do; it is found out when it is needed.
    other.recover().await.unwrap();
    other.snapshot(8, b"eight").await.unwrap();
    written(ring.append(9, 1, &payload(9)).await);
    assert!(!ring.should_snapshot());
    // The pointer never moves back.
    ring.snapshot(3, b"three").await.unwrap();
    assert_eq!(place.ring().await.recover().await.unwrap().snapshot.unwrap().bytes, b"eight");
}

async fn a_snapshot_of_many_chunks_is_read_whole_or_not_at_all(client: Client) {
    let place = Place::start(client).await;
    let ring = place.made().await;
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_001).collect();
    ring.append(1, 1, b"").await.unwrap();
    ring.snapshot(1, &large).await.unwrap();
    let recovered = ring.recover().await.unwrap();
    assert!(recovered.snapshot.unwrap().bytes == large);
    let names = ring.session().children("/snapshots").await.unwrap();
    let chunk = format!("/snapshots/{}/3", names[0]);
    let mut node = ring.session().read(&chunk).await.unwrap();
    node.bytes[100] ^= 1;
    ring.session().write(&chunk, &node.bytes, None).await.unwrap();
    let refused = ring.recover().await.unwrap_err();
    assert!(matches!(refused, Error::Snapshot { .. }), "{refused}");
    ring.session().delete(&chunk).await.unwrap();
    let refused = ring.recover().await.unwrap_err();
    assert!(refused.to_string().contains("chunk 3 is missing"), "{refused}");
}

async fn without_its_credentials_a_journal_is_neither_read_nor_written(client: Client) {
    let place = Place::start(client).await;
    let owner = place.session("epic:right@", "/epic").await;
    ring::init_with(&owner, SLOTS).await.unwrap();
    for credentials in ["", "epic:wrong@"] {
        let stranger = place.session(credentials, "/epic").await;
        let refused = Ring::open(stranger.clone()).await.unwrap_err();
        assert!(refused.to_string().contains("the user in --zk has no right to it"), "{credentials}: {refused}");
        for node in ["/journal/3", "/snapshot"] {
            let refused = stranger.write(node, b"x", None).await.unwrap_err();
            assert!(refused.says(Refusal::NoAuth), "{credentials}: {refused}");
        }
        stranger.create("/election/candidate-", b"", Kind::Numbered).await.unwrap_err();
        stranger.delete("/journal/3").await.unwrap_err();
    }
    let ring = Ring::open(place.session("epic:right@", "/epic").await).await.unwrap();
    written(ring.append(1, 1, b"x").await);
}

async fn neither_nodes_nor_bytes_grow_with_five_thousand_batches(client: Client) {
    let place = Place::start(client).await;
    let ring = place.made().await;
    let mut seen = BTreeSet::new();
    for batch in 1..=5_000 {
        written(ring.append(batch, 1, &payload(batch)).await);
        if ring.should_snapshot() {
            ring.snapshot(batch, &vec![0; 300_000]).await.unwrap();
        }
        if batch % 1_000 == 0 {
            seen.insert(size(ring.session()).await.unwrap());
        }
    }
    let (nodes, bytes) = seen.pop_last().unwrap();
    // Root, four parents, the slots, and two snapshots of two chunks.
    assert_eq!(nodes, 5 + u64::from(SLOTS) + 2 * 3);
    assert!(bytes < 700_000, "{bytes} bytes");
    assert!(seen.iter().all(|(seen, _)| *seen == nodes), "{seen:?}");
    let recovered = place.ring().await.recover().await.unwrap();
    assert_eq!(recovered.snapshot.unwrap().batch + recovered.batches.len() as u64, 5_000);
}

/// Counts nodes and bytes of all below the path.
async fn size(session: &Session) -> Result<(u64, u64)> {
    let mut paths = vec!["/".to_owned()];
    let (mut nodes, mut bytes) = (0, 0);
    while let Some(path) = paths.pop() {
        nodes += 1;
        bytes += session.read(&path).await.context("cannot count")?.bytes.len() as u64;
        let parent = path.trim_end_matches('/');
        paths.extend(session.children(&path).await?.iter().map(|name| format!("{parent}/{name}")));
        ensure!(nodes < 10_000, "there are nodes without end");
    }
    Ok((nodes, bytes))
}
