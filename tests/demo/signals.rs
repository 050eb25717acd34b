//! What asks the demo to end: Ctrl-C, SIGTERM, and a terminal that is closed.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// The signals, heard from here on instead of ending the program.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    last: Option<Instant>,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// The system doesn't allow it.
    pub(crate) fn hear() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            last: None,
        })
    }

    /// Waits for the next wish to end.
    ///
    /// What comes just after another is the same wish: `make` hands on what the terminal has sent to both of them. A
    /// terminal that is closed after a wish adds nothing to it.
    pub(crate) async fn next(&mut self) {
        loop {
            let counts = tokio::select! {
                _ = self.interrupt.recv() => true,
                _ = self.terminate.recv() => true,
                _ = self.hang_up.recv() => self.last.is_none(),
            };
            if counts && self.last.is_none_or(|last| last.elapsed() > SAME) {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}

const SAME: Duration = Duration::from_millis(500);
