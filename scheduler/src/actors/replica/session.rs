//! Opening sessions, and what is watched for as long as they or this process last.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use epic_common_io::driver::Inbox;
use epic_scheduler_core::replica::election::Ask;
use epic_scheduler_core::replica::{Connection, Input};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use crate::journal::ring::{self, Ring};
use crate::metrics;
use crate::store::Health;
use crate::zookeeper::{self, State};

/// Work that ends at once when it is dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

/// Why there is no session, or no journal.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No session could be opened.
    #[error(transparent)]
    Session(#[from] zookeeper::Error),
    /// The journal can't be used.
    #[error(transparent)]
    Ring(#[from] ring::Error),
}

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + 'static) -> Self {
        Self(actix::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a session, and the journal over it.
pub(super) async fn open(connect: &zookeeper::Connect) -> Result<Ring, Error> {
    let session = zookeeper::Session::connect(connect, connect.session_timeout).await?;
    let ring = Ring::open(session).await?;
    metrics::connected(true);
    Ok(ring)
}

/// Tells the machine how the session is that this question has opened, whenever that changes.
pub(super) fn watch(session: &zookeeper::Session, number: Ask, inbox: Inbox<Input>) -> Task {
    let mut states = session.states();
    Task::spawn(async move {
        let mut last = State::Connected;
        loop {
            let state = *states.borrow_and_update();
            if state != last && inbox.put(Input::Session(number, changed(state))).await.is_err() {
                return;
            }
            last = state;
            if state.is_over() {
                return;
            }
            if states.changed().await.is_err() {
                // The session's thread has ended.
                inbox.put(Input::Session(number, changed(State::Expired))).await.ok();
                return;
            }
        }
    })
}

fn changed(state: State) -> Connection {
    info!(?state, "ZooKeeper");
    metrics::connected(state == State::Connected);
    match state {
        State::Connected => Connection::Up,
        State::Disconnected => {
            metrics::disconnected();
            Connection::Broken
        }
        State::Expired | State::AuthFailed => {
            metrics::session_lost();
            Connection::Over
        }
    }
}

/// Tells the machine whenever the copy on disk needs the whole state.
pub(super) async fn watch_copy(mut health: watch::Receiver<Health>, batch: Rc<Cell<u64>>, inbox: Inbox<Input>) {
    loop {
        let now = health.borrow_and_update().clone();
        metrics::stored(batch.get(), &now);
        if now.wants_reset && inbox.put(Input::CopyWanted).await.is_err() {
            return;
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}
