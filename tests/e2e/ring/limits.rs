//! What a journal needs of its servers, and of its snapshots.

use epic_scheduler::journal::ring::{self, Error};
use epic_scheduler::zookeeper::{Client, State};
use epic_tests::zookeeper::ZooKeeper;

use super::place::{Place, payload, written};

super::with_both_clients! {
    servers_that_take_less_than_the_largest_batch_are_found_out_before_it_is_written,
    a_probe_that_finds_no_server_blames_no_limit,
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
