//! Pieces of work that may be there or not, for whoever waits for several at once.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A piece of work that is under way.
pub(super) type Work<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Waits for a piece of work, for ever if there is none.
pub(super) async fn done<T>(work: Option<&mut Work<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Waits so long, for ever if there is no need to wake.
pub(super) async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
