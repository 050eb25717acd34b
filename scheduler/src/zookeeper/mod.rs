//! A session with ZooKeeper: what its servers were asked, what they answered, and whether it still stands.

mod calls;
mod client;
mod connect;
mod coordinator;
mod error;
mod fail_stop;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::mesos::masters::ZooKeeperPath;

pub(crate) use calls::Pauses;
pub use calls::Watch;
pub use connect::{Client, Connect, OPEN_TO_ALL, PemError, Sasl, Tls};
pub use coordinator::{Call, Change, Coordinator, Failure, Kind, Node, SessionOver, Written};
pub use error::{Cause, Error, Refusal};

use client::ZooKeeperClient;
use fail_stop::FailStop;

/// A session, by way of the client that was asked for.
///
/// Paths of its calls are below the path it was connected with, such as `/journal/7`; `/` is that path
/// itself. Clones share the session; it is closed, and its ephemeral nodes are gone, when the last clone is dropped or one of them closes it.
///
/// With [`Client::ZooKeeperClient`] it outlives lost connections, as long as a server hears of it within its time-out;
/// with [`Client::ZooKeeperAsync`] it is over as soon as its connection is.
///
/// What it creates belongs to the user of the digest if there is one, and to everybody else to nobody; without
/// a digest everybody may do everything.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// Whether a session can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A server answers.
    Connected,
    /// No server answers; whether the session still stands is not known until one does.
    Disconnected,
    /// It is over, and its ephemeral nodes are gone or soon will be; nothing but a new session helps.
    Expired,
    /// A server refused the credentials; as over as [`Expired`](Self::Expired).
    AuthFailed,
}

impl Session {
    /// Connects within `bound`, or within the session's time-out if that is shorter, and asks for that time-out.
    ///
    /// The client runs on a thread of its own, so that no busy runtime can keep it from being heard of.
    /// A server lets anybody in whose credentials are of the digest scheme: wrong ones show only when a node refuses them.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::Slow`].
    pub async fn connect(connect: &Connect, bound: Duration) -> Result<Self, Error> {
        let coordinator: Arc<dyn Coordinator> = match connect.client {
            Client::ZooKeeperClient => Arc::new(ZooKeeperClient::connect(connect, bound).await?),
            Client::ZooKeeperAsync => Arc::new(FailStop::connect(connect, bound).await?),
        };
        let (timeout, states) = (coordinator.timeout(), coordinator.states());
        let shared = Shared { connect: connect.clone(), timeout, states, held: Mutex::new(Some(coordinator)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns where it is connected.
    #[must_use]
    pub fn path(&self) -> &ZooKeeperPath {
        &self.shared.connect.path
    }

    /// Returns how it was made, so that another one can be made in the same way.
    #[must_use]
    pub fn made_by(&self) -> &Connect {
        &self.shared.connect
    }

    /// Returns the time-out that the servers agreed to, which may be another than was asked for; what was asked for if
    /// the client doesn't tell.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Returns its state now.
    #[must_use]
    pub fn state(&self) -> State {
        *self.shared.states.borrow()
    }

    /// Returns what follows its states; the latest counts, those between may be left out.
    ///
    /// [`State::Expired`] and [`State::AuthFailed`] are the last ones.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.shared.states.clone()
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        let mut states = self.states();
        // An error says that the thread has ended, which it does only after the last state.
        let _ended = states.wait_for(|state| state.is_over()).await;
    }

    /// Closes it for all clones, and waits, at most `bound`, until a server has heard so; others then needn't wait for
    /// its time-out.
    pub async fn close(&self, bound: Duration) {
        drop(self.held().take());
        let _closed = timeout(bound, self.ended()).await;
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<dyn Coordinator>>> {
        self.shared.held.lock().expect("nothing panics while it holds the lock")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("path", self.path()).field("client", &self.held()).finish_non_exhaustive()
    }
}

impl State {
    /// Says whether it will never be [`Connected`](Self::Connected) again.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Connected | Self::Disconnected => false,
            Self::Expired | Self::AuthFailed => true,
        }
    }
}

struct Shared {
    connect: Connect,
    timeout: Duration,
    states: watch::Receiver<State>,
    /// Gone when it was closed here.
    held: Mutex<Option<Arc<dyn Coordinator>>>,
}

/// No node's data is larger: a batch of 512 KiB and what stands before it.
pub const DATA_BYTES_MAX: usize = (512 << 10) + 1024;
