//! What zookeeper-async may never do: the wrapper around it ends with the first doubt.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use epic_scheduler::zookeeper::{Client, Kind, Refusal, Session, State};
use epic_tests::wait;
use nix::sys::signal::Signal;

use super::place::{BOUND, Place};
use super::proxy::Proxy;

const SESSION: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_lost_session_is_over_and_nothing_is_sent_on_another() {
    let place = Place::start(Client::ZooKeeperAsync).await;
    let observer = place.made().await;
    let proxy = Proxy::default();
    let mut through = place.connect("", "/epic", SESSION);
    through.path.servers = vec![proxy.start(place.zookeeper.addr()).await.unwrap()];
    let session = Session::connect(&through, BOUND).await.unwrap();
    session.create("/election/candidate-", b"me", Kind::Numbered).await.unwrap();
    let (_, watch) = session.exists_and_watch("/election/candidate-0000000000").await.unwrap();
    proxy.cut.store(true, Ordering::SeqCst);
    // The look at the server, or this call, is what loses the connection.
    session.read("/election").await.unwrap_err();
    assert_eq!(session.state(), State::Expired);
    let (connections, asked) = (proxy.connections.load(Ordering::SeqCst), proxy.asked.load(Ordering::SeqCst));
    assert!(watch.changed().await.unwrap_err().is_expired());
    for _ in 0..3 {
        assert!(session.write("/election", b"x", None).await.unwrap_err().is_expired());
        assert!(session.create("/election/candidate-", b"me", Kind::Numbered).await.unwrap_err().is_expired());
    }
    let empty = async || {
        let names = observer.session().children("/election").await?;
        ensure!(names.is_empty(), "{names:?} are there");
        Ok(())
    };
    wait::until("its node is gone", BOUND, empty).await.unwrap();
    assert_eq!(observer.session().read("/election").await.unwrap().bytes, b"");
    let after = (proxy.connections.load(Ordering::SeqCst), proxy.asked.load(Ordering::SeqCst));
    assert_eq!(after, (connections, asked), "connections and bytes");
}

#[tokio::test]
async fn a_server_that_stands_still_is_noticed_before_the_session_could_be_given_away() {
    let place = Place::start(Client::ZooKeeperAsync).await;
    place.made().await;
    let (idle, busy) = (place.session_of("", "/epic", SESSION).await, place.session_of("", "/epic", SESSION).await);
    let call = tokio::spawn({
        let busy = busy.clone();
        async move {
            loop {
                if let Err(error) = busy.read("/election").await {
                    return error;
                }
            }
        }
    });
    place.zookeeper.signal(Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    idle.ended().await;
    let idle_for = stopped.elapsed();
    assert!(call.await.unwrap().is_expired());
    let busy_for = stopped.elapsed();
    place.zookeeper.signal(Signal::SIGCONT).unwrap();
    // A sixth of the time-out until it is looked for, a third until that is given up; a call is given two thirds.
    let slack = Duration::from_millis(500);
    assert!(idle_for < SESSION / 2 + slack, "{idle_for:?}");
    assert!(busy_for < SESSION * 2 / 3 + slack, "{busy_for:?}");
}

#[tokio::test]
async fn more_than_a_server_takes_is_never_sent() {
    let place = Place::start(Client::ZooKeeperAsync).await;
    let ring = place.made().await;
    let refused = ring.session().write("/election", &vec![0; 600 << 10], None).await.unwrap_err();
    assert!(matches!(refused.refusal(), Some(Refusal::TooLarge { bytes: 614_400 })), "{refused}");
    assert_eq!(ring.session().state(), State::Connected);
}

#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_costs_a_part_of_the_time() {
    let place = Place::start(Client::ZooKeeperAsync).await;
    place.made().await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connect = place.connect("", "/epic", SESSION);
    connect.path.servers.push(mute.local_addr().unwrap().to_string());
    for _ in 0..4 {
        let started = Instant::now();
        Session::connect(&connect, BOUND).await.unwrap();
        assert!(started.elapsed() < SESSION / 2, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn reading_anew_sees_what_was_written_before_though_nothing_is_written() {
    let place = Place::start(Client::ZooKeeperAsync).await;
    let ring = place.made().await;
    let before = place.zookeeper.zxid().await.unwrap();
    ring.session().sync().await.unwrap();
    // A transaction of its own, which takes its turn among all others.
    assert_eq!(place.zookeeper.zxid().await.unwrap(), before + 1);
    assert!(!ring.session().children("/").await.unwrap().contains(&"sync".to_owned()));
}
