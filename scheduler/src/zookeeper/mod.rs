//! A session with ZooKeeper: what its servers were asked, what they answered, and whether it still stands.

mod calls;
mod error;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use zookeeper_client::{Client, SessionState, StateWatcher};

use crate::mesos::masters::ZooKeeperPath;

pub(crate) use calls::Pauses;
pub use calls::{Kind, Node, Watch};
pub use error::{Cause, Error};

/// A session that outlives lost connections, as long as a server hears of it within its time-out.
///
/// Paths of its calls are below the path it was connected with, such as `/journal/7`; `/` is that path
/// itself. Clones share the session; it is closed, and its ephemeral nodes are gone, when the last clone is dropped or one of them closes it.
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
    /// Connects within `bound`, or within `session_timeout` if that is shorter, and asks for that time-out.
    ///
    /// The client runs on a thread of its own, so that no busy runtime can keep it from being heard of.
    /// A server lets anybody in: wrong credentials show only when a node refuses them.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::Slow`].
    pub async fn connect(path: &ZooKeeperPath, session_timeout: Duration, bound: Duration) -> Result<Self, Error> {
        let servers = path.servers.join(",");
        let unreachable = |source| Error::Unreachable { servers: servers.clone(), source };
        let mut connector = Client::connector().with_session_timeout(session_timeout);
        if let Some(digest) = &path.digest {
            connector = connector.with_auth("digest", digest.as_bytes());
        }
        let (answer, connected) = oneshot::channel();
        let to = servers.clone();
        let serve = async move {
            let outcome = timeout(bound, connector.connect(&to)).await;
            let watcher = outcome.as_ref().ok().and_then(|client| client.as_ref().ok().map(Client::state_watcher));
            // Nobody waits for it any more: dropping the client closes its session.
            let _answered = answer.send(outcome);
            watcher
        };
        let (sender, states) = watch::channel(State::Connected);
        spawn(serve, sender).map_err(|error| unreachable(Cause::Thread(Arc::new(error))))?;
        let outer = match connected.await {
            Ok(Ok(connected)) => connected.map_err(|source| unreachable(Cause::Client(source)))?,
            Ok(Err(_elapsed)) => return Err(Error::Slow { servers, bound }),
            Err(closed) => return Err(unreachable(Cause::Thread(Arc::new(io::Error::other(closed))))),
        };
        let (id, timeout) = (outer.session_id().0, outer.session_timeout());
        let below = outer.clone().chroot(path.path.clone());
        let below = below.map_err(|_| unreachable(Cause::Client(zookeeper_client::Error::BadArguments(&BAD_PATH))))?;
        let clients = Mutex::new(Some(Clients { below, outer }));
        Ok(Self { shared: Arc::new(Shared { path: path.clone(), id, timeout, clients, states }) })
    }

    /// Returns where it is connected.
    #[must_use]
    pub fn path(&self) -> &ZooKeeperPath {
        &self.shared.path
    }

    /// Returns its number, which is the owner of its ephemeral nodes.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.shared.id
    }

    /// Returns the time-out that the servers agreed to; it may be another than was asked for.
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
        drop(self.clients().take());
        let _closed = timeout(bound, self.ended()).await;
    }

    fn clients(&self) -> MutexGuard<'_, Option<Clients>> {
        self.shared.clients.lock().expect("nothing panics while it holds the lock")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("path", &self.shared.path).field("id", &self.id()).finish_non_exhaustive()
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

    const fn of(state: SessionState) -> Self {
        match state {
            SessionState::SyncConnected => Self::Connected,
            // A server without a quorum can't take anything; we never ask to be served by one.
            SessionState::Disconnected | SessionState::ConnectedReadOnly => Self::Disconnected,
            SessionState::Expired | SessionState::Closed => Self::Expired,
            SessionState::AuthFailed => Self::AuthFailed,
        }
    }
}

struct Shared {
    path: ZooKeeperPath,
    id: i64,
    timeout: Duration,
    /// Gone when it was closed here.
    clients: Mutex<Option<Clients>>,
    states: watch::Receiver<State>,
}

/// The session stands as long as one of them, or a clone, is there.
#[derive(Clone)]
struct Clients {
    /// For paths below the session's path.
    below: Client,
    /// For that path itself, which has to be made once.
    outer: Client,
}

/// Runs the client on a thread until its session is over.
fn spawn(
    connect: impl Future<Output = Option<StateWatcher>> + Send + 'static,
    states: watch::Sender<State>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async move {
            let Some(watcher) = connect.await else { return };
            follow(watcher, &states).await;
        });
    };
    thread::Builder::new().name("zookeeper".to_owned()).spawn(run).map(drop)
}

/// Passes on the client's states; it holds no client, since the session ends with the last one.
async fn follow(mut watcher: StateWatcher, states: &watch::Sender<State>) {
    let mut state = State::of(watcher.state());
    loop {
        states.send_replace(state);
        if state.is_over() {
            return;
        }
        state = State::of(watcher.changed().await);
    }
}

const BAD_PATH: &str = "the path must be like /mesos";
