//! What becomes of a journal when servers, connections and sessions are lost, by client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use epic_scheduler::journal::ring::{self, Append, Error, Next, Ring};
use epic_scheduler::zookeeper::{Client, Connect, Kind, Session, State};
use epic_tests::wait;

use super::place::{BOUND, Place, TIMEOUT, payload, written};
use super::proxy::Proxy;

super::with_both_clients! {
    batches_are_neither_lost_nor_doubled_when_the_server_dies_again_and_again,
    a_batch_whose_answer_is_lost_is_found_to_be_durable,
    a_session_without_a_server_ends_and_so_does_every_wait_on_it,
    ephemeral_nodes_go_with_a_closed_session_at_once_and_are_watched,
}

async fn batches_are_neither_lost_nor_doubled_when_the_server_dies_again_and_again(client: Client) {
    let mut place = Place::start(client).await;
    // A server takes seconds to start, and a session must outlive that if it can.
    let patient = place.connect("", "/epic", Duration::from_secs(40));
    ring::init_with(&Session::connect(&patient, BOUND).await.unwrap(), 1 << 14).await.unwrap();
    let (writer, follower) = (Replica::open(&patient).await, Replica::open(&patient).await);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let trouble = async {
        for round in 0..4 {
            tokio::time::sleep(Duration::from_millis(50 + 37 * round)).await;
            place.zookeeper.kill();
            place.zookeeper.restart().await.unwrap();
        }
        stop.send(()).unwrap();
    };
    let (read, (batches, sessions), ()) = tokio::join!(follower.follow(), writer.write(stopped), trouble);
    let mut expected: Vec<_> = (1..=batches).map(payload).collect();
    expected.push(b"end".to_vec());
    assert!(batches > 4, "only {batches} batches were written");
    match client {
        Client::ZooKeeperClient => assert_eq!(sessions, 1),
        Client::ZooKeeperAsync => assert!(sessions > 1, "the one session has outlived its connection"),
    }
    assert!(read == expected);
    let recovered = place.ring().await.recover().await.unwrap();
    assert!(recovered.batches.into_iter().map(|(_, bytes)| bytes).eq(expected));
}

async fn a_batch_whose_answer_is_lost_is_found_to_be_durable(client: Client) {
    let place = Place::start(client).await;
    let (_made, reader) = (place.made().await, place.ring().await);
    let proxy = Proxy::default();
    let mut through = place.connect("", "/epic", TIMEOUT);
    through.path.servers = vec![proxy.start(place.zookeeper.addr()).await.unwrap()];
    let open = async || Ring::open(Session::connect(&through, BOUND).await.unwrap()).await.unwrap();
    let mut ring = open().await;
    let mut found = 0;
    let mut before = epic_common::time::Timestamp(0);
    for batch in 1..=5 {
        proxy.cut.store(true, Ordering::SeqCst);
        let appended = ring.append(batch, 1, &payload(batch)).await;
        assert!(!proxy.cut.load(Ordering::SeqCst), "no answer was lost");
        match client {
            Client::ZooKeeperClient => {
                let at = written(appended);
                assert!(at >= before, "{at:?} before {before:?}");
                before = at;
            }
            // The connection was the session; a new one finds the batch.
            Client::ZooKeeperAsync => {
                assert!(appended.unwrap_err().is_expired());
                assert!(matches!(ring.append(batch, 1, b"other").await.unwrap_err(), Error::Pending { .. }));
                ring = open().await;
                ring.recover().await.unwrap();
                found += u64::from(ring.position() == batch);
                if ring.position() < batch {
                    // Now and then it is the look at the server whose answer is lost, and the batch isn't sent.
                    written(ring.append(batch, 1, &payload(batch)).await);
                }
            }
        }
    }
    assert!(client == Client::ZooKeeperClient || found > 0, "no batch was found");
    let expected: Vec<_> = (1..=5).map(|batch| (batch, payload(batch))).collect();
    assert_eq!(reader.recover().await.unwrap().batches, expected);
}

async fn a_session_without_a_server_ends_and_so_does_every_wait_on_it(client: Client) {
    let mut place = Place::start(client).await;
    let ring = place.made_with(Duration::from_secs(4)).await;
    let mut states = ring.session().states();
    assert_eq!(*states.borrow_and_update(), State::Connected);
    place.zookeeper.kill();
    let first = match client {
        Client::ZooKeeperClient => State::Disconnected,
        Client::ZooKeeperAsync => State::Expired,
    };
    assert_eq!(*states.wait_for(|state| *state != State::Connected).await.unwrap(), first);
    let (next, append) = tokio::join!(ring.next(0), ring.append(1, 1, b"x"));
    assert!(next.unwrap_err().is_expired());
    assert!(append.unwrap_err().is_expired());
    assert_eq!(*states.wait_for(|state| state.is_over()).await.unwrap(), State::Expired);
    let refused = ring.append(1, 1, b"y").await.unwrap_err();
    assert!(matches!(refused, Error::Pending { batch: 1 }), "{refused}");
    let connect = place.connect("", "/epic", TIMEOUT);
    let refused = Session::connect(&connect, Duration::from_millis(200)).await.unwrap_err();
    let expected = match client {
        Client::ZooKeeperClient => "does not answer within 200 ms",
        Client::ZooKeeperAsync => "cannot reach ZooKeeper at 127.",
    };
    assert!(refused.to_string().contains(expected), "{refused}");
    place.zookeeper.restart().await.unwrap();
    assert!(place.ring().await.is_at_end(0).await.unwrap());
}

async fn ephemeral_nodes_go_with_a_closed_session_at_once_and_are_watched(client: Client) {
    let place = Place::start(client).await;
    let watcher = place.made_with(Duration::from_secs(60)).await;
    let owner = place.session_of("", "/epic", Duration::from_secs(60)).await;
    let number = owner.create("/election/candidate-", b"me", Kind::Numbered).await.unwrap();
    let path = format!("/election/candidate-{number:010}");
    let node = owner.read(&path).await.unwrap();
    assert!(owner.is_own(&node) && !watcher.session().is_own(&node));
    assert!(!owner.is_own(&owner.read("/election").await.unwrap()));
    let (exists, watch) = watcher.session().exists_and_watch(&path).await.unwrap();
    assert!(exists);
    let clone = owner.clone();
    owner.close(BOUND).await;
    assert_eq!(clone.state(), State::Expired);
    assert!(clone.read(&path).await.unwrap_err().is_expired());
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap().unwrap();
    assert!(!watcher.session().exists_and_watch(&path).await.unwrap().0);
    // The same holds if nobody closes it, and the last clone is dropped.
    let owner = place.session_of("", "/epic", Duration::from_secs(60)).await;
    owner.create("/election/candidate-", b"me", Kind::Numbered).await.unwrap();
    drop(owner);
    let gone = async || {
        anyhow::ensure!(watcher.session().children("/election").await?.is_empty(), "it is there");
        Ok(())
    };
    wait::until("the node is gone", Duration::from_secs(5), gone).await.unwrap();
}

/// Writes or reads the journal, over one session after the other.
struct Replica {
    connect: Connect,
    ring: Ring,
    sessions: u32,
}

impl Replica {
    async fn open(connect: &Connect) -> Self {
        let ring = Ring::open(Session::connect(connect, BOUND).await.unwrap()).await.unwrap();
        Self { connect: connect.clone(), ring, sessions: 1 }
    }

    async fn reopen(&mut self) {
        let opened = async || {
            let ring = Ring::open(Session::connect(&self.connect, BOUND).await?).await?;
            ring.recover().await?;
            Ok(ring)
        };
        self.ring = wait::until("the journal can be opened", BOUND, opened).await.unwrap();
        self.sessions += 1;
    }

    /// Appends until it is told to stop; returns how many, and over how many sessions.
    async fn write(mut self, mut stopped: tokio::sync::oneshot::Receiver<()>) -> (u64, u32) {
        let mut batch = 0;
        let mut bytes = payload(1);
        loop {
            match self.ring.append(batch + 1, 1, &bytes).await {
                Ok(Append::Durable(_)) => batch += 1,
                Ok(Append::Deposed) => panic!("nobody else writes"),
                Err(error) => {
                    assert!(error.is_expired(), "{error}");
                    self.reopen().await;
                    assert!([batch, batch + 1].contains(&self.ring.position()), "{batch}");
                    batch = self.ring.position();
                }
            }
            if bytes == b"end" && batch > 0 && self.ends_with(batch).await {
                return (batch - 1, self.sessions);
            }
            bytes = if stopped.try_recv().is_ok() || bytes == b"end" { b"end".to_vec() } else { payload(batch + 1) };
        }
    }

    async fn ends_with(&mut self, batch: u64) -> bool {
        loop {
            match self.ring.next(batch - 1).await {
                Ok(next) => return next == Next::Batch(b"end".to_vec()),
                Err(_) => self.reopen().await,
            }
        }
    }

    /// Reads until the end.
    async fn follow(mut self) -> Vec<Vec<u8>> {
        let mut read = Vec::new();
        while read.last().is_none_or(|last: &Vec<u8>| last != b"end") {
            match self.ring.next(read.len() as u64).await {
                Ok(Next::Batch(bytes)) => read.push(bytes),
                Ok(Next::Lapped) => panic!("the test's ring is longer than what is written"),
                Err(error) => {
                    assert!(error.is_expired(), "{error}");
                    self.reopen().await;
                }
            }
        }
        read
    }
}
