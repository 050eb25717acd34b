//! What the journal names is sought among replicas that have it, lack it, or don't answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use epic_common::backoff::Backoff;
use epic_common::ids::Digest;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_common_io::driver::{Clock, Driver, Inbox, World};
use epic_scheduler::actors::supply::Supply;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::replica::artifact_search::Limits;
use epic_scheduler_core::state::entry::Fact;
use reqwest::Method;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::fixture::{History, demo};
use crate::push::{made, meet};
use crate::server::{Server, grant};

const LIMITS: Limits = Limits {
    retry: Backoff { first: Duration::from_millis(500), most: Duration::from_secs(60) },
    silent_rounds_max: 1,
};

/// Stands where the director does, and passes on which artifacts it is told of.
#[derive(Default)]
struct Told(Vec<BTreeSet<Digest>>);

struct Tell(mpsc::UnboundedSender<BTreeSet<Digest>>);

impl Machine for Told {
    type Input = Input;
    type Output = BTreeSet<Digest>;

    fn handle(&mut self, _now: Timestamp, input: Input) {
        if let Input::Held(held) = input {
            self.0.push(held);
        }
    }

    fn poll(&mut self, _now: Timestamp) -> Option<BTreeSet<Digest>> {
        self.0.pop()
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

impl World<Told> for Tell {
    fn act(&mut self, held: BTreeSet<Digest>, _inbox: &Inbox<Input>) {
        self.0.send(held).unwrap();
    }
}

/// A replica that accepts each connection, keeps it and never says a word; counts those of them that ended.
async fn silent() -> (String, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ended = watch::Sender::new(0);
    let seen = ended.subscribe();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let ended = ended.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                loop {
                    connection.readable().await.unwrap();
                    if matches!(connection.try_read(&mut bytes), Ok(0)) {
                        return ended.send_modify(|ended| *ended += 1);
                    }
                }
            });
        }
    });
    (url, seen)
}

/// A replica whose journal names a bundle that it lacks, that bundle, and what its director hears.
async fn seeking() -> (Server, (Vec<u8>, Digest), mpsc::UnboundedReceiver<BTreeSet<Digest>>) {
    let (bytes, bundle) = made();
    let mut desired = demo(0);
    desired.bundle.sha256 = bundle;
    let mut history = History::demo(0);
    history.says(Fact::PlatformApplied { desired: Box::new(desired), key: None });
    let server = Server::start(history.published.clone(), grant);
    let (tell, mut told) = mpsc::unbounded_channel();
    let supply = Supply {
        artifacts: Arc::clone(&server.artifacts),
        holders: server.holders.clone(),
        published: watch::channel(Arc::new(history.published)).1,
        inbox: Driver::start(Told::default(), Tell(tell), Clock::start()),
        limits: LIMITS,
    };
    supply.begin().await;
    assert_eq!(told.recv().await.unwrap(), BTreeSet::new());
    (server, (bytes, bundle), told)
}

/// Waits until nobody waits for the artifact any more.
async fn given_up(server: &Server, digest: &Digest) {
    let until = Instant::now() + Duration::from_secs(20);
    while server.holders.awaits(digest) {
        assert!(Instant::now() < until, "it is still awaited");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn a_replica_that_accepts_and_never_answers_is_waited_for_and_not_for_ever() {
    let (server, (bytes, bundle), mut told) = seeking().await;
    let (silent, mut ended) = silent().await;
    assert!(server.holders.awaits(&bundle), "nobody knows yet who takes part");
    meet(&server, &[server.url(""), silent.clone()]);
    ended.wait_for(|ended| *ended == 1).await.unwrap();
    assert!(server.holders.awaits(&bundle), "it may yet say that it has it");
    given_up(&server, &bundle).await;
    let asked = *ended.wait_for(|ended| *ended >= 2).await.unwrap();
    assert_eq!(asked, 2, "it was asked for as many rounds as may be silent");

    // Sought all the same: whoever comes and has it is found beside the one that is silent.
    let holder = Server::start(History::new().published, grant);
    assert_eq!(holder.change(Method::PUT, &format!("/api/v2/artifacts/{bundle}"), bytes).await.status(), 200);
    meet(&server, &[server.url(""), silent, holder.url("")]);
    // A round in which the silent one is asked alone may be under way.
    let held = timeout(Duration::from_secs(9), told.recv()).await.unwrap().unwrap();
    assert_eq!(held, BTreeSet::from([bundle]));
}

#[actix::test]
async fn what_all_others_lack_is_given_up_at_once() {
    let (server, (_, bundle), _told) = seeking().await;
    let others = [0; 2].map(|_| Server::start(History::new().published, grant));
    meet(&server, &[server.url(""), others[0].url(""), others[1].url("")]);
    let began = Instant::now();
    given_up(&server, &bundle).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
