//! A session by way of zookeeper-client: it outlives lost connections, and says so when it is over.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use epic_common_io::tls;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use zookeeper_client::{
    Acls, Client, Connector, CreateMode, CreateOptions, Error as ClientError, EventType, OneshotWatcher, SaslOptions,
    SessionState, Stat, StateWatcher,
};

use super::connect::{Connect, Sasl, Tls};
use super::coordinator::{Call, Change, Coordinator, Failure, Kind, Node, SessionOver, Written, time};
use super::{Cause, Error, Refusal, State};

/// The session; it stands as long as the client in it or a clone of that is there.
pub(super) struct ZooKeeperClient {
    client: Client,
    states: watch::Receiver<State>,
    acls: Acls<'static>,
}

impl ZooKeeperClient {
    /// Connects on a thread of its own, so that no busy runtime can keep it from being heard of.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::Slow`].
    pub(super) async fn connect(connect: &Connect, bound: Duration) -> Result<Self, Error> {
        let servers = connect.path.servers.join(",");
        let unreachable = |source| Error::Unreachable { servers: servers.clone(), source };
        let connector = connector(connect);
        let (answer, connected) = oneshot::channel();
        let (to, is_secure) = (servers.clone(), connect.tls.is_some());
        let serve = async move {
            let connected =
                async { if is_secure { connector.secure_connect(&to).await } else { connector.connect(&to).await } };
            let outcome = timeout(bound, connected).await;
            let watcher = outcome.as_ref().ok().and_then(|client| client.as_ref().ok().map(Client::state_watcher));
            // Nobody waits for it any more: dropping the client closes its session.
            let _answered = answer.send(outcome);
            watcher
        };
        let (sender, states) = watch::channel(State::Connected);
        spawn(serve, sender).map_err(|error| unreachable(Cause::Thread(Arc::new(error))))?;
        let client = match connected.await {
            Ok(Ok(connected)) => connected.map_err(|source| unreachable(Cause::Client(source)))?,
            Ok(Err(_elapsed)) => return Err(Error::Slow { servers, bound }),
            Err(closed) => return Err(unreachable(Cause::Thread(Arc::new(io::Error::other(closed))))),
        };
        let acls = if connect.has_user() { Acls::creator_all() } else { Acls::anyone_all() };
        Ok(Self { client, states, acls })
    }
}

impl Coordinator for ZooKeeperClient {
    fn create<'a>(&'a self, path: &'a str, bytes: &'a [u8], kind: Kind) -> Call<'a, i64> {
        let mode = match kind {
            Kind::Lasting => CreateMode::Persistent,
            Kind::Numbered => CreateMode::EphemeralSequential,
        };
        let options: CreateOptions<'static> = mode.with_acls(self.acls);
        Box::pin(async move {
            let (_, number) = self.client.create(path, bytes, &options).await?;
            Ok(number.into_i64())
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Call<'a, Node> {
        Box::pin(async move {
            let (bytes, stat) = self.client.get_data(path).await?;
            Ok(node(bytes, &stat))
        })
    }

    fn read_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (Node, Change)> {
        Box::pin(async move {
            let (bytes, stat, watcher) = self.client.get_and_watch_data(path).await?;
            Ok((node(bytes, &stat), change(watcher)))
        })
    }

    fn exists_and_watch<'a>(&'a self, path: &'a str) -> Call<'a, (bool, Change)> {
        Box::pin(async move {
            let (stat, watcher) = self.client.check_and_watch_stat(path).await?;
            Ok((stat.is_some(), change(watcher)))
        })
    }

    fn children<'a>(&'a self, path: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move { Ok(self.client.list_children(path).await?) })
    }

    fn write<'a>(&'a self, path: &'a str, bytes: &'a [u8], version: Option<i32>) -> Call<'a, Written> {
        Box::pin(async move {
            let stat = self.client.set_data(path, bytes, version).await?;
            Ok(Written { version: stat.version, modified: time(stat.mtime) })
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Call<'a, ()> {
        Box::pin(async move { Ok(self.client.delete(path, None).await?) })
    }

    fn sync<'a>(&'a self, path: &'a str) -> Call<'a, ()> {
        Box::pin(async move { Ok(self.client.sync(path).await?) })
    }

    fn is_own(&self, node: &Node) -> bool {
        node.owner == self.client.session_id().0
    }

    fn timeout(&self) -> Duration {
        self.client.session_timeout()
    }

    fn states(&self) -> watch::Receiver<State> {
        self.states.clone()
    }
}

impl fmt::Debug for ZooKeeperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperClient").field("id", &self.client.session_id().0).finish_non_exhaustive()
    }
}

/// Sorts what the client says about a call.
///
/// What isn't known for a server's answer, or our own client's before it sends anything, is taken for a lost answer:
/// connection loss comes under several names.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        use ClientError as E;
        let refusal = match error {
            E::SessionExpired | E::AuthFailed | E::ClientClosed => return Self::Over,
            E::BadArguments(_) => Refusal::BadArguments,
            E::NoNode => Refusal::NoNode,
            E::NoAuth => Refusal::NoAuth,
            E::BadVersion => Refusal::BadVersion,
            E::NoChildrenForEphemerals => Refusal::NoChildrenForEphemerals,
            E::NodeExists => Refusal::NodeExists,
            E::NotEmpty => Refusal::NotEmpty,
            E::InvalidAcl => Refusal::InvalidAcl,
            E::NotReadOnly => Refusal::NotReadOnly,
            E::QuotaExceeded => Refusal::QuotaExceeded,
            E::Throttled => Refusal::Throttled,
            E::Unimplemented => Refusal::Unimplemented,
            // Versions to come may have more.
            lost @ (E::UnmarshalError { .. }
            | E::NoHosts
            | E::Timeout
            | E::UnexpectedError(_)
            | E::SessionMoved
            | E::NoWatcher
            | E::MarshallingError
            | E::ConnectionLoss
            | E::ReconfigDisabled
            | E::UnexpectedErrorCode(_)
            | E::RuntimeInconsistent
            | E::Custom(_)
            | _) => return Self::Unsure(Cause::Client(lost)),
        };
        Self::Refused(refusal)
    }
}

impl State {
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

fn connector(connect: &Connect) -> Connector {
    let mut connector = Client::connector().with_session_timeout(connect.session_timeout);
    if let Some(digest) = &connect.path.digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    if let Some(Sasl { user, password }) = &connect.sasl {
        connector = connector.with_sasl(SaslOptions::digest_md5(user.clone(), password.clone()));
    }
    if let Some(Tls(options)) = &connect.tls {
        tls::use_ring();
        connector = connector.with_tls(options.clone());
    }
    connector
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

fn node(bytes: Vec<u8>, stat: &Stat) -> Node {
    Node { bytes, version: stat.version, modified: time(stat.mtime), owner: stat.ephemeral_owner }
}

/// Dropping it tells the client that nobody waits.
fn change(watcher: OneshotWatcher) -> Change {
    Box::pin(async move {
        match watcher.changed().await.event_type {
            EventType::Session => Err(SessionOver),
            EventType::NodeCreated
            | EventType::NodeDeleted
            | EventType::NodeDataChanged
            | EventType::NodeChildrenChanged => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_never_taken_for_a_refusal() {
        use ClientError as E;
        let class = |error| match Failure::from(error) {
            Failure::Refused(_) => "refused",
            Failure::Unsure(_) => "unsure",
            Failure::Over => "over",
        };
        for error in [E::BadVersion, E::NoNode, E::NodeExists, E::NoAuth] {
            assert_eq!(class(error), "refused");
        }
        for error in [
            E::ConnectionLoss,
            E::Timeout,
            E::SessionMoved,
            E::RuntimeInconsistent,
            E::UnexpectedErrorCode(-7),
            E::UnexpectedError("no answer".to_owned()),
        ] {
            assert_eq!(class(error), "unsure");
        }
        for error in [E::SessionExpired, E::ClientClosed, E::AuthFailed] {
            assert_eq!(class(error), "over");
        }
    }
}
