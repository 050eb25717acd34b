//! A journal in a real ZooKeeper that begins with a base: whole or not at all, and over nothing that is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use epic_scheduler::journal::ring::{self, Append, Base, Error, Initialised, Next, Place, Ring};
use epic_scheduler::zookeeper::Session;
use epic_tests::zookeeper::ZooKeeper;

use crate::ring::session;

fn base() -> Base {
    Base { epoch: 3, batch: b"first".to_vec(), snapshot: vec![7; 600_000] }
}

async fn at(zookeeper: &ZooKeeper, path: &str) -> Session {
    session(zookeeper, "", path).await
}

/// The base is there, and another batch can follow it.
async fn stands(session: &Session) {
    assert_eq!(ring::look(session).await.unwrap(), Place::Used);
    let ring = Ring::open(session.clone()).await.unwrap();
    let recovered = ring.recover().await.unwrap();
    let snapshot = recovered.snapshot.unwrap();
    assert_eq!((snapshot.batch, recovered.batches.len()), (1, 0));
    assert!(snapshot.bytes == base().snapshot);
    assert!(ring.is_at_end(1).await.unwrap());
    assert_eq!(ring::init(session).await.unwrap(), Initialised::Already);
    assert_eq!(ring::init_from(session, &base()).await.unwrap(), Initialised::Already);
    assert!(matches!(ring.append(2, 4, b"second").await.unwrap(), Append::Durable(_)));
    assert_eq!(Ring::open(session.clone()).await.unwrap().recover().await.unwrap().batches.len(), 1);
}

fn is_occupied<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
}

#[tokio::test]
async fn a_base_is_made_where_nothing_is_and_finished_wherever_it_was_interrupted() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let new = at(&zookeeper, "/new").await;
    assert_eq!(ring::look(&new).await.unwrap(), Place::Free);
    assert_eq!(ring::init_from(&new, &base()).await.unwrap(), Initialised::New);
    stands(&new).await;

    let prepared = at(&zookeeper, "/a/prepared").await;
    ring::prepare(&prepared).await.unwrap();
    assert_eq!(ring::look(&prepared).await.unwrap(), Place::Free);
    ring::prepare(&prepared).await.unwrap();
    assert_eq!(ring::init_from(&prepared, &base()).await.unwrap(), Initialised::New);
    stands(&prepared).await;

    // The first batch is there, and not the snapshot.
    let torn = at(&zookeeper, "/torn").await;
    ring::init_from(&torn, &base()).await.unwrap();
    torn.write("/", b"", None).await.unwrap();
    let pointer = torn.read("/snapshot").await.unwrap();
    torn.delete("/snapshot").await.unwrap();
    assert_eq!(ring::look(&torn).await.unwrap(), Place::Begun);
    is_occupied(ring::prepare(&torn).await);
    let refused = ring::init(&torn).await.unwrap_err();
    assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
    is_occupied(ring::init_from(&torn, &Base { batch: b"another".to_vec(), ..base() }).await);
    assert!(Ring::open(torn.clone()).await.is_err(), "nobody opens it yet");
    assert_eq!(ring::init_from(&torn, &base()).await.unwrap(), Initialised::New);
    stands(&torn).await;

    // All is there but the root.
    let last = at(&zookeeper, "/last").await;
    ring::init_from(&last, &base()).await.unwrap();
    last.write("/", b"", None).await.unwrap();
    assert_eq!(last.read("/snapshot").await.unwrap().bytes.len(), pointer.bytes.len());
    assert_eq!(ring::init_from(&last, &base()).await.unwrap(), Initialised::New);
    stands(&last).await;
}

#[tokio::test]
async fn a_journal_without_batches_gets_the_base_and_whoever_had_opened_it_is_held_off() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let session = at(&zookeeper, "/epic").await;
    ring::init_with(&session, 8).await.unwrap();
    assert_eq!(ring::look(&session).await.unwrap(), Place::Empty);
    let early = Ring::open(session.clone()).await.unwrap();
    early.recover().await.unwrap();
    ring::prepare(&session).await.unwrap();
    assert_eq!(ring::init_from(&session, &base()).await.unwrap(), Initialised::New);
    assert_eq!(early.append(1, 1, b"early").await.unwrap(), Append::Deposed);
    assert_eq!(early.next(0).await.unwrap(), Next::Batch(b"first".to_vec()));
    let ring = Ring::open(session.clone()).await.unwrap();
    assert_ne!(ring.id(), early.id(), "it is another journal");
    stands(&session).await;
    // It goes on like any other.
    let ring = Ring::open(session.clone()).await.unwrap();
    ring.recover().await.unwrap();
    for batch in 3..=40 {
        if ring.must_snapshot(batch) {
            ring.snapshot(batch - 1, b"later").await.unwrap();
        }
        ring.append(batch, 4, b"more").await.unwrap();
    }
    assert_eq!(session.children("/journal").await.unwrap().len(), 8);
    is_occupied(ring::init_from(&session, &base()).await);
    assert_eq!(Ring::open(session.clone()).await.unwrap().recover().await.unwrap().snapshot.unwrap().bytes, b"later");
}

#[tokio::test]
async fn a_journal_with_batches_stays_as_it_is() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let session = at(&zookeeper, "/epic").await;
    ring::init_with(&session, 8).await.unwrap();
    let ring = Ring::open(session.clone()).await.unwrap();
    ring.append(1, 1, b"theirs").await.unwrap();
    is_occupied(ring::prepare(&session).await);
    is_occupied(ring::init_from(&session, &base()).await);
    let recovered = Ring::open(session.clone()).await.unwrap().recover().await.unwrap();
    assert_eq!((recovered.snapshot, recovered.batches), (None, vec![(1, b"theirs".to_vec())]));
    assert!(matches!(ring.append(2, 1, b"more").await.unwrap(), Append::Durable(_)));

    let foreign = at(&zookeeper, "/foreign").await;
    foreign.create_root().await.unwrap();
    foreign.create("/something", b"x", epic_scheduler::zookeeper::Kind::Lasting).await.unwrap();
    let refused = ring::prepare(&foreign).await.unwrap_err();
    assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
    let refused = ring::init_from(&foreign, &base()).await.unwrap_err();
    assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
}
