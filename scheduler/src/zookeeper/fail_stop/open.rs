//! Opening the connection: one server at a time, each try on a runtime of its own that can be left behind.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use epic_common::backoff::Backoff;
use rand::seq::SliceRandom as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout, timeout_at};
use zookeeper_async::{WatchedEvent, ZkError, ZooKeeper};

use super::work::{Job, Link, fail_stop, work};
use crate::zookeeper::{Cause, Connect, State};

/// What an open session is used by, or the last reason why there is none.
pub(super) type Opened = Result<(mpsc::Sender<Job>, watch::Receiver<State>), Option<Cause>>;

/// Opens a session within `bound`, tells so, and works for it to its end.
pub(super) fn serve(connect: &Connect, bound: Duration, mut ready: oneshot::Sender<Opened>) {
    let until = tokio::time::Instant::now() + bound;
    let mut servers = connect.path.servers.clone();
    servers.shuffle(&mut rand::rng());
    let mut last = None;
    for (tried, server) in (0..).zip(servers.iter().cycle()) {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _told = ready.send(Err(Some(Cause::Thread(Arc::new(error)))));
                return;
            }
        };
        let pause = if tried == 0 { Duration::ZERO } else { RETRY.jittered(tried, rand::random()) };
        let trying = async {
            sleep(pause).await;
            open(connect, server).await
        };
        let tried = runtime.block_on(async {
            tokio::select! {
                () = ready.closed() => None,
                tried = timeout_at(until, trying) => Some(tried),
            }
        });
        match tried {
            Some(Ok(Ok(link))) => {
                let (jobs, asked) = mpsc::channel(JOBS_MAX);
                let link = Arc::new(link);
                if ready.send(Ok((jobs, link.states.subscribe()))).is_ok() {
                    runtime.block_on(work(&link, asked, connect.session_timeout));
                }
                // Whatever the library still does ends with it.
                runtime.shutdown_background();
                return;
            }
            Some(Ok(Err(cause))) => last = Some(cause),
            Some(Err(_elapsed)) => {
                let _told = ready.send(Err(last));
                runtime.shutdown_background();
                return;
            }
            None => {
                runtime.shutdown_background();
                return;
            }
        }
        runtime.shutdown_background();
    }
}

/// Tries one server; its silence is noticed early, so that the next one has its turn.
async fn open(connect: &Connect, server: &str) -> Result<Link, Cause> {
    let patience = connect.session_timeout / 3;
    let address = reach(server, connect.session_timeout / 6).await?;
    let silent = |_| no_answer(server);
    let asking =
        ZooKeeper::connect_with_retry_time(&address, connect.session_timeout, |_: WatchedEvent| {}, RETRY.most);
    let client = timeout(patience, asking).await.map_err(silent)?.map_err(Cause::Async)?;
    // No other task has run since then, so that no state was missed.
    let (states, mut followed) = watch::channel(State::Disconnected);
    client.add_listener(fail_stop(states.clone()));
    let heard = timeout(patience, followed.wait_for(|state| *state != State::Disconnected)).await;
    if *heard.map_err(silent)?.map_err(|_| no_answer(server))? != State::Connected {
        return Err(Cause::Async(ZkError::ConnectionLoss));
    }
    if let Some(digest) = &connect.path.digest {
        // Answers to this one overtake others, so that it goes alone.
        let added = client.add_auth("digest", digest.clone().into_bytes());
        timeout(patience, added).await.map_err(silent)?.map_err(Cause::Async)?;
    }
    Ok(Link { client, states })
}

/// Finds an address that takes connections: the library would wait for one that doesn't as long as the system does.
async fn reach(server: &str, patience: Duration) -> Result<String, Cause> {
    let failed = |source: io::Error| Cause::Server { server: server.to_owned(), source: Arc::new(source) };
    let found = timeout(patience, lookup_host(server)).await.map_err(|_| no_answer(server))?;
    let addresses: Vec<SocketAddr> = found.map_err(failed)?.take(ADDRESSES_MAX).collect();
    let started = Instant::now();
    let mut last = no_answer(server);
    for address in addresses {
        let patience = patience.saturating_sub(started.elapsed());
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address.to_string()),
            Ok(Err(error)) => last = failed(error),
            Err(_elapsed) => {}
        }
    }
    Err(last)
}

fn no_answer(server: &str) -> Cause {
    let source = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    Cause::Server { server: server.to_owned(), source: Arc::new(source) }
}

const RETRY: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
const ADDRESSES_MAX: usize = 8;
/// So many calls wait for their turn before others wait to be let in.
const JOBS_MAX: usize = 64;
