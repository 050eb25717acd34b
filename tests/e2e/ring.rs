//! The journal in a real ZooKeeper.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_scheduler::journal::ring::{self, Append, Error, Initialised, Next, Ring};
use epic_scheduler::mesos::masters::{Masters, ZooKeeperPath};
use epic_scheduler::zookeeper::{Connect, Kind, Refusal, Session, State};
use epic_tests::wait;
use epic_tests::zookeeper::ZooKeeper;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SLOTS: u32 = 8;
const TIMEOUT: Duration = Duration::from_secs(6);
const BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_journal_is_made_once_and_only_where_there_is_room() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let session = session(&zookeeper, "", "/a/epic").await;
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

    let other = self::session(&zookeeper, "", "/a").await;
    let refused = ring::init(&other).await.unwrap_err();
    assert!(refused.to_string().contains("is no journal of this program"), "{refused}");
    // Whoever was interrupted is followed by somebody who goes on.
    let torn = self::session(&zookeeper, "", "/torn").await;
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

#[tokio::test]
async fn what_one_replica_appends_the_others_follow_and_recover() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let leader = made(&zookeeper).await;
    let follower = ring(&zookeeper).await;
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
        assert!(matches!(leader.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
    }
    let expected: Vec<_> = (1..=5).map(|batch| Next::Batch(payload(batch))).collect();
    assert_eq!(follow.await.unwrap(), expected);
    let recovered = ring(&zookeeper).await.recover().await.unwrap();
    assert_eq!(recovered.snapshot, None);
    assert_eq!(recovered.batches, (1..=5).map(|batch| (batch, payload(batch))).collect::<Vec<_>>());
    let refused = leader.append(7, 1, b"").await.unwrap_err();
    assert!(matches!(refused, Error::NotNext { batch: 7, position: 5 }), "{refused}");
    let refused = leader.append(6, 1, &vec![0; (512 << 10) + 1]).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    assert!(matches!(leader.append(6, 1, &vec![7; 512 << 10]).await.unwrap(), Append::Durable(_)));
}

#[tokio::test]
async fn of_two_writers_one_is_deposed_even_after_sleeping_for_laps() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let (first, second) = (made(&zookeeper).await, ring(&zookeeper).await);
    assert!(matches!(first.append(1, 1, b"first").await.unwrap(), Append::Durable(_)));
    second.recover().await.unwrap();
    assert!(matches!(second.append(2, 2, b"second").await.unwrap(), Append::Durable(_)));
    assert_eq!(first.append(2, 1, b"first").await.unwrap(), Append::Deposed);
    assert_eq!(first.next(1).await.unwrap(), Next::Batch(b"second".to_vec()));
    // The first one sleeps while the second writes two laps.
    for batch in 3..=20 {
        if second.must_snapshot(batch) {
            second.snapshot(batch - 1, &payload(batch - 1)).await.unwrap();
        }
        assert!(matches!(second.append(batch, 2, &payload(batch)).await.unwrap(), Append::Durable(_)));
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
    assert!(matches!(first.append(21, 3, b"first").await.unwrap(), Append::Durable(_)));
}

#[tokio::test]
async fn no_batch_overwrites_one_that_no_snapshot_holds() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let (ring, other) = (made(&zookeeper).await, ring(&zookeeper).await);
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
    assert!(matches!(ring.append(9, 1, &payload(9)).await.unwrap(), Append::Durable(_)));
    assert!(!ring.should_snapshot());
    // The pointer never moves back.
    ring.snapshot(3, b"three").await.unwrap();
    assert_eq!(self::ring(&zookeeper).await.recover().await.unwrap().snapshot.unwrap().bytes, b"eight");
}

#[tokio::test]
async fn a_snapshot_of_many_chunks_is_read_whole_or_not_at_all() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let ring = made(&zookeeper).await;
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

#[tokio::test]
async fn batches_are_neither_lost_nor_doubled_when_the_server_dies_again_and_again() {
    let mut zookeeper = ZooKeeper::start().await.unwrap();
    // A server takes seconds to start, and the session must outlive that.
    let patient = session_of(&zookeeper, "", "/epic", Duration::from_secs(40)).await;
    ring::init_with(&patient, 1 << 14).await.unwrap();
    let reader = session_of(&zookeeper, "", "/epic", Duration::from_secs(40)).await;
    let (ring, follower) = (Ring::open(patient).await.unwrap(), Ring::open(reader).await.unwrap());
    let follow = tokio::spawn(async move {
        let mut read = Vec::new();
        while read.last().is_none_or(|last: &Vec<u8>| last != b"end") {
            match follower.next(read.len() as u64).await.unwrap() {
                Next::Batch(bytes) => read.push(bytes),
                Next::Lapped => panic!("the test's ring is longer than what is written"),
            }
        }
        read
    });
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let write = tokio::spawn(async move {
        let mut batch = 0;
        while stopped.try_recv().is_err() {
            batch += 1;
            assert!(matches!(ring.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
        }
        assert!(matches!(ring.append(batch + 1, 1, b"end").await.unwrap(), Append::Durable(_)));
        assert_eq!(ring.session().state(), State::Connected);
        batch
    });
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(50 + 37 * round)).await;
        zookeeper.kill();
        zookeeper.restart().await.unwrap();
    }
    stop.send(()).unwrap();
    let written = write.await.unwrap();
    let mut expected: Vec<_> = (1..=written).map(payload).collect();
    expected.push(b"end".to_vec());
    assert!(written > 4, "only {written} batches were written");
    assert!(follow.await.unwrap() == expected);
    let recovered = self::ring(&zookeeper).await.recover().await.unwrap();
    assert!(recovered.batches.into_iter().map(|(_, bytes)| bytes).eq(expected));
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_found_to_be_durable() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let (made, reader) = (made(&zookeeper).await, ring(&zookeeper).await);
    let cut = Arc::new(AtomicBool::new(false));
    let mut through = made.session().path().clone();
    through.servers = vec![proxy(zookeeper.addr(), cut.clone()).await.unwrap()];
    let ring = Ring::open(Session::connect(&Connect::new(through, TIMEOUT), BOUND).await.unwrap()).await.unwrap();
    for batch in 1..=5 {
        cut.store(true, Ordering::SeqCst);
        assert!(matches!(ring.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
        assert!(!cut.load(Ordering::SeqCst), "no answer was lost");
    }
    let expected: Vec<_> = (1..=5).map(|batch| (batch, payload(batch))).collect();
    assert_eq!(reader.recover().await.unwrap().batches, expected);
}

#[tokio::test]
async fn a_session_without_a_server_ends_and_so_does_every_wait_on_it() {
    let mut zookeeper = ZooKeeper::start().await.unwrap();
    let ring = made_with(&zookeeper, Duration::from_secs(2)).await;
    let mut states = ring.session().states();
    assert_eq!(*states.borrow_and_update(), State::Connected);
    zookeeper.kill();
    states.wait_for(|state| *state == State::Disconnected).await.unwrap();
    let (next, append) = tokio::join!(ring.next(0), ring.append(1, 1, b"x"));
    assert!(next.unwrap_err().is_expired());
    assert!(append.unwrap_err().is_expired());
    assert_eq!(*states.wait_for(|state| state.is_over()).await.unwrap(), State::Expired);
    let refused = ring.append(1, 1, b"y").await.unwrap_err();
    assert!(matches!(refused, Error::Pending { batch: 1 }), "{refused}");
    let path = path(&zookeeper, "", "/epic");
    let refused = Session::connect(&Connect::new(path, TIMEOUT), Duration::from_millis(200)).await.unwrap_err();
    assert!(refused.to_string().contains("does not answer within 200 ms"), "{refused}");
    zookeeper.restart().await.unwrap();
    assert!(self::ring(&zookeeper).await.is_at_end(0).await.unwrap());
}

#[tokio::test]
async fn without_its_credentials_a_journal_is_neither_read_nor_written() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let owner = session(&zookeeper, "epic:right@", "/epic").await;
    ring::init_with(&owner, SLOTS).await.unwrap();
    for credentials in ["", "epic:wrong@"] {
        let stranger = session(&zookeeper, credentials, "/epic").await;
        let refused = Ring::open(stranger.clone()).await.unwrap_err();
        assert!(refused.to_string().contains("the user in --zk has no right to it"), "{credentials}: {refused}");
        for node in ["/journal/3", "/snapshot"] {
            let refused = stranger.write(node, b"x", None).await.unwrap_err();
            assert!(refused.says(Refusal::NoAuth), "{credentials}: {refused}");
        }
        stranger.create("/election/candidate-", b"", Kind::Numbered).await.unwrap_err();
        stranger.delete("/journal/3").await.unwrap_err();
    }
    let ring = Ring::open(session(&zookeeper, "epic:right@", "/epic").await).await.unwrap();
    assert!(matches!(ring.append(1, 1, b"x").await.unwrap(), Append::Durable(_)));
}

#[tokio::test]
async fn ephemeral_nodes_go_with_a_closed_session_at_once_and_are_watched() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let watcher = made_with(&zookeeper, Duration::from_secs(60)).await;
    let owner = session_of(&zookeeper, "", "/epic", Duration::from_secs(60)).await;
    let number = owner.create("/election/candidate-", b"me", Kind::Numbered).await.unwrap();
    let path = format!("/election/candidate-{number:010}");
    assert!(owner.is_own(&owner.read(&path).await.unwrap()));
    let (exists, watch) = watcher.session().exists_and_watch(&path).await.unwrap();
    assert!(exists);
    let clone = owner.clone();
    owner.close(BOUND).await;
    assert_eq!(clone.state(), State::Expired);
    assert!(clone.read(&path).await.unwrap_err().is_expired());
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap().unwrap();
    assert!(!watcher.session().exists_and_watch(&path).await.unwrap().0);
}

#[tokio::test]
async fn neither_nodes_nor_bytes_grow_with_five_thousand_batches() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let ring = made(&zookeeper).await;
    let mut seen = BTreeSet::new();
    for batch in 1..=5_000 {
        assert!(matches!(ring.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
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
    let recovered = self::ring(&zookeeper).await.recover().await.unwrap();
    assert_eq!(recovered.snapshot.unwrap().batch + recovered.batches.len() as u64, 5_000);
}

/// Stands before a server; while `cut` is set, the next answer is lost together with its connection.
async fn proxy(server: SocketAddr, cut: Arc<AtomicBool>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(server).await else { continue };
            tokio::spawn(pass(client, server, cut.clone()));
        }
    });
    Ok(address)
}

async fn pass(client: TcpStream, server: TcpStream, cut: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut told) = server.into_split();
    let asking = async { tokio::io::copy(&mut asks, &mut told).await.map(drop) };
    let answering = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let length = answers.read(&mut bytes).await?;
            if length == 0 || cut.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            hears.write_all(&bytes[..length]).await?;
        }
    };
    tokio::select! {
        asked = asking => asked,
        answered = answering => answered,
    }
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

fn payload(batch: u64) -> Vec<u8> {
    format!("batch {batch}").into_bytes()
}

async fn made(zookeeper: &ZooKeeper) -> Ring {
    made_with(zookeeper, TIMEOUT).await
}

async fn made_with(zookeeper: &ZooKeeper, timeout: Duration) -> Ring {
    let session = session_of(zookeeper, "", "/epic", timeout).await;
    ring::init_with(&session, SLOTS).await.expect("the place is empty or holds a journal");
    Ring::open(session).await.expect("it was made")
}

async fn ring(zookeeper: &ZooKeeper) -> Ring {
    let opened = async || Ok(Ring::open(session(zookeeper, "", "/epic").await).await?);
    wait::until("the journal can be opened", BOUND, opened).await.expect("it was made")
}

pub(crate) async fn session(zookeeper: &ZooKeeper, credentials: &str, path: &str) -> Session {
    session_of(zookeeper, credentials, path, TIMEOUT).await
}

pub(crate) async fn session_of(zookeeper: &ZooKeeper, credentials: &str, path: &str, timeout: Duration) -> Session {
    let path = self::path(zookeeper, credentials, path);
    Session::connect(&Connect::new(path, timeout), BOUND).await.expect("ZooKeeper serves")
}

fn path(zookeeper: &ZooKeeper, credentials: &str, path: &str) -> ZooKeeperPath {
    let url = zookeeper.url(path).replace("zk://", &format!("zk://{credentials}"));
    match Masters::parse(&url).expect("the server tells its address as Mesos reads it") {
        Masters::ZooKeeper(path) => path,
        Masters::List(_) => panic!("{url} is no place in ZooKeeper"),
    }
}
