//! A session by way of zookeeper-async, which ends with its connection.
//!
//! That library goes on silently with another session when its own has expired, gives answers to wrong callers when
//! connections change, and never gives up. So one of these is one connection and one session, with one request on its
//! way at a time; what isn't plainly right ends it, and nothing is sent on a successor.

mod failure;
mod open;
mod watches;
mod work;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_async::{Acl, CreateMode, Stat};

use super::connect::Connect;
use super::coordinator::{Call, Change, Coordinator, Failure, Kind, Node, Written, time};
use super::{Cause, Error, Refusal, State};

use watches::Watches;
use work::{Job, Life, Link};

/// The session; its thread closes it when this is dropped.
pub(super) struct FailStop {
    jobs: mpsc::Sender<Job>,
    states: watch::Receiver<State>,
    timeout: Duration,
    acl: &'static Vec<Acl>,
    /// The session's number, which only a node that it made tells.
    id: Arc<OnceLock<i64>>,
    watches: Arc<Watches>,
}

impl FailStop {
    /// Connects to one server after the other, on a thread of its own, until one lets us in.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the last reason, and [`Error::Slow`] if there is none.
    pub(super) async fn connect(connect: &Connect, bound: Duration) -> Result<Self, Error> {
        let servers = connect.path.servers.join(",");
        let bound = bound.min(connect.session_timeout);
        let unreachable = |source| Error::Unreachable { servers: servers.clone(), source };
        let (ready, opened) = oneshot::channel();
        let to = connect.clone();
        let thread = thread::Builder::new().name("zookeeper".to_owned());
        let started = thread.spawn(move || open::serve(&to, bound, ready));
        started.map_err(|error| unreachable(Cause::Thread(Arc::new(error))))?;
        let slow = || Error::Slow { servers: servers.clone(), bound };
        let (jobs, states) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(Some(cause))) => return Err(unreachable(cause)),
            Ok(Err(None)) | Err(_) => return Err(slow()),
        };
        let acl = if connect.has_user() { Acl::creator_all() } else { Acl::open_unsafe() };
        let (id, watches) = (Arc::default(), Arc::default());
        Ok(Self { jobs, states, timeout: connect.session_timeout, acl, id, watches })
    }

    /// Hands a call to the thread, where it waits its turn.
    fn ask<T, F>(&self, call: impl FnOnce(Arc<Link>) -> F + Send + 'static) -> Call<'static, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + 'static,
    {
        let (jobs, (answer, answered)) = (self.jobs.clone(), oneshot::channel());
        let mut states = self.states.clone();
        let job: Job = Box::new(move |link: Arc<Link>| {
            Box::pin(async move {
                if answer.is_closed() {
                    return Life::GoesOn;
                }
                let outcome = call(Arc::clone(&link)).await;
                let life = if matches!(outcome, Err(Failure::Over)) { link.end() } else { Life::GoesOn };
                // Whoever asked may have gone.
                let _answered = answer.send(outcome);
                life
            })
        });
        Box::pin(async move {
            jobs.send(job).await.map_err(|_| Failure::Over)?;
            // What is sent just as the thread stops to listen stays in the channel, where nobody drops it.
            tokio::select! {
                biased;
                answer = answered => answer.unwrap_or(Err(Failure::Over)),
                _ = states.wait_for(|state| state.is_over()) => Err(Failure::Over),
            }
        })
    }
}

impl Coordinator for FailStop {
    fn create<'a>(&'a self, path: &'a str, bytes: &'a [u8], kind: Kind) -> Call<'a, i64> {
        let (to, bytes, acl, id) = (path.to_owned(), bytes.to_vec(), self.acl.clone(), Arc::clone(&self.id));
        self.ask(move |link| async move {
            let mode = match kind {
                Kind::Lasting => CreateMode::Persistent,
                Kind::Numbered => CreateMode::EphemeralSequential,
            };
            let made = link.client.create2(&to, bytes, acl, mode).await.map_err(Failure::from);
            let (made, stat) = match (made, kind) {
                (Ok(made), _) => made,
                // Nobody could tell that such a node is ours.
                (Err(Failure::Unsure(_)), Kind::Numbered) => return Err(Failure::Over),
                (Err(failure), Kind::Numbered | Kind::Lasting) => return Err(failure),
            };
            match kind {
                Kind::Lasting => Ok(-1),
                Kind::Numbered => {
                    id.get_or_init(|| stat.ephemeral_owner);
                    made.strip_prefix(&to).and_then(|number| number.parse().ok()).ok_or(Failure::Over)
                }
            }
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Call<'a, Node> {
        let path = path.to_owned();
        self.ask(move |link| async move {
            let (bytes, stat) = link.client.get_data(&path, false).await?;
            Ok(node(bytes, &stat))
        })
    }

    fn read_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (Node, Change)> {
        let (path, watches) = (path.to_owned(), Arc::clone(&self.watches));
        self.ask(move |link| async move {
            // A watch that is set by reading a node that lacks would be kept for ever.
            let (_, change) = watches.exists(&link.client, &path).await?;
            let (bytes, stat) = link.client.get_data(&path, false).await?;
            Ok((node(bytes, &stat), change))
        })
    }

    fn exists_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (bool, Change)> {
        let (path, watches) = (path.to_owned(), Arc::clone(&self.watches));
        self.ask(move |link| async move { watches.exists(&link.client, &path).await })
    }

    fn children<'a>(&'a self, path: &'a str) -> Call<'a, Vec<String>> {
        let path = path.to_owned();
        self.ask(move |link| async move { Ok(link.client.get_children(&path, false).await?) })
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], version: Option<i32>) -> Call<'a, Written> {
        let (path, bytes) = (path.to_owned(), bytes.to_vec());
        self.ask(move |link| async move {
            let stat = link.client.set_data(&path, bytes, version).await?;
            Ok(Written { version: stat.version, modified: time(stat.mtime) })
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Call<'a, ()> {
        let path = path.to_owned();
        self.ask(move |link| async move { Ok(link.client.delete(&path, None).await?) })
    }

    /// The library has no such call, but a write takes its turn among all writes, and our server answers it only when
    /// it knows those before it. One that is refused does so too, so that nothing need be written: servers log the
    /// refusal as a transaction.
    ///
    /// Source: ZooKeeper, `PrepRequestProcessor.pRequest` (it proposes an `ErrorTxn`).
    fn sync<'a>(&'a self, path: &'a str) -> Call<'a, ()> {
        let path = format!("{path}/sync");
        self.ask(move |link| async move {
            match link.client.delete(&path, None).await.map_err(Failure::from) {
                Err(Failure::Refused(Refusal::NoNode | Refusal::NotEmpty | Refusal::NoAuth)) => Ok(()),
                outcome => outcome,
            }
        })
    }

    fn is_own(&self, node: &Node) -> bool {
        self.id.get() == Some(&node.owner)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn states(&self) -> watch::Receiver<State> {
        self.states.clone()
    }
}

impl fmt::Debug for FailStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailStop").field("id", &self.id).finish_non_exhaustive()
    }
}

fn node(bytes: Vec<u8>, stat: &Stat) -> Node {
    Node { bytes, version: stat.version, modified: time(stat.mtime), owner: stat.ephemeral_owner }
}
