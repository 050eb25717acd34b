//! A replica's copy against the journal in a real ZooKeeper.

use std::time::Duration;

use epic_scheduler::journal::ring::{self, Append, Next, Ring};
use epic_scheduler::mesos::masters::Masters;
use epic_scheduler::store::{Held, standing};
use epic_scheduler::zookeeper::{Connect, Session};
use epic_scheduler_core::replica::{At, Standing};
use epic_tests::zookeeper::ZooKeeper;

const SLOTS: u32 = 8;
const TIMEOUT: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_copy_is_followed_only_from_where_the_journal_has_the_same() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let leader = ring(&zookeeper).await;
    let at = async |held: &Held| compare(held, &ring(&zookeeper).await).await.unwrap();
    assert_eq!(at(&held(&leader, 0)).await, Standing::Whole);
    assert_eq!(at(&held(&leader, 1)).await, Standing::Ahead);
    for batch in 1..=5 {
        assert!(matches!(leader.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
    }
    for batch in 0..=5 {
        let follower = ring(&zookeeper).await;
        assert_eq!(compare(&held(&leader, batch), &follower).await.unwrap(), Standing::Whole, "{batch}");
        assert_eq!(follower.position(), batch);
    }
    let follower = ring(&zookeeper).await;
    compare(&held(&leader, 3), &follower).await.unwrap();
    assert_eq!(follower.next(3).await.unwrap(), Next::Batch(payload(4)));

    for (batch, lead) in [(6, "one"), (13, "a lap and more"), (100, "many laps")] {
        let ahead = held(&leader, batch);
        assert_eq!(at(&ahead).await, Standing::Ahead, "{lead}");
        let said = Standing::Ahead.problem(&ahead.at).unwrap();
        assert!(
            said.contains(&format!("ends before batch {batch}")) && said.contains("epic-scheduler state forget"),
            "{said}"
        );
    }
    let unknown = Held { last_crc32: None, ..held(&leader, 4) };
    assert_eq!(at(&unknown).await, Standing::Whole);
    let forked = Held { last_crc32: Some(7), ..unknown };
    assert_eq!(at(&forked).await, Standing::Forked);
    let mut other = held(&leader, 4);
    other.at.journal = "another".to_owned();
    assert_eq!(at(&other).await, Standing::Other);

    leader.snapshot(5, b"five").await.unwrap();
    for batch in 6..=12 {
        assert!(matches!(leader.append(batch, 1, &payload(batch)).await.unwrap(), Append::Durable(_)));
    }
    assert_eq!(at(&held(&leader, 4)).await, Standing::Lapped);
    assert_eq!(at(&held(&leader, 5)).await, Standing::Whole);
}

/// Makes what a store would hold after so many batches.
fn held(ring: &Ring, batch: u64) -> Held {
    Held {
        at: At { journal: ring.id().to_owned(), batch, epoch: 1 },
        last_crc32: (batch > 0).then(|| crc32fast::hash(&payload(batch))),
        base: batch,
        snapshot: Vec::new(),
        batches: Vec::new(),
    }
}

fn payload(batch: u64) -> Vec<u8> {
    format!("batch {batch}").into_bytes()
}

async fn ring(zookeeper: &ZooKeeper) -> Ring {
    let Masters::ZooKeeper(path) = Masters::parse(&zookeeper.url("/epic")).expect("ZooKeeper serves") else {
        panic!("the server tells another address than its own")
    };
    let session = Session::connect(&Connect::new(path, TIMEOUT), TIMEOUT).await.expect("ZooKeeper serves");
    ring::init_with(&session, SLOTS).await.expect("ZooKeeper serves");
    Ring::open(session).await.expect("ZooKeeper serves")
}

async fn compare(held: &Held, ring: &Ring) -> Result<Standing, ring::Error> {
    standing(&held.at, held.last_crc32, ring).await
}
