//! SIGTERM and SIGINT, which end a scheduler in good order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Both signals, heard from its making on.
///
/// The first process of a container has no default for them: what comes before this is lost there.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Begins to hear them; within tokio's runtime.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn hear() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits until one of them has come.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => info!("SIGTERM: ending; services go on"),
            _ = self.int.recv() => info!("SIGINT: ending; services go on"),
        }
    }
}
