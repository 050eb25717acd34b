//! Watches: at most one of the library's for each path, shared by all who wait for it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use zookeeper_async::ZooKeeper;

use crate::zookeeper::{Change, Failure, SessionOver};

/// The watches that haven't fired; the library forgets a watch only then.
///
/// Bounded by the number of paths that are watched: the journal's slots and the candidates of a session.
#[derive(Debug, Default)]
pub(super) struct Watches {
    armed: Mutex<BTreeMap<String, watch::Receiver<bool>>>,
}

impl Watches {
    /// Says whether a node is there, and what waits until it is made, changed or removed.
    pub(super) async fn exists(&self, client: &ZooKeeper, path: &str) -> Result<(bool, Change), Failure> {
        if let Some(fired) = self.armed(path) {
            // It was set before this look and fires for whatever comes after it.
            let found = client.exists(path, false).await?;
            return Ok((found.is_some(), change(fired)));
        }
        let (fire, fired) = watch::channel(false);
        // A panic would end the library's task for watches, and with the next event the one for its connection.
        let fire = move |_| drop(catch_unwind(AssertUnwindSafe(|| fire.send_replace(true))));
        let found = client.exists_w(path, fire).await?;
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.retain(|_, fired| is_armed(fired));
        armed.insert(path.to_owned(), fired.clone());
        Ok((found.is_some(), change(fired)))
    }

    fn armed(&self, path: &str) -> Option<watch::Receiver<bool>> {
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.get(path).filter(|fired| is_armed(fired)).cloned()
    }
}

fn is_armed(fired: &watch::Receiver<bool>) -> bool {
    !*fired.borrow() && fired.has_changed().is_ok()
}

/// The library drops what can't fire any more, which ends the wait.
fn change(mut fired: watch::Receiver<bool>) -> Change {
    Box::pin(async move { fired.wait_for(|fired| *fired).await.map(drop).map_err(|_| SessionOver) })
}
