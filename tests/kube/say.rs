//! What is said while it happens.

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Prints a line at once.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that was closed is no reason to leave anything behind.
    let _unread = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// How long something has taken so far; shown in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed(Instant);

impl Timed {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", seconds(self.0.elapsed()))
    }
}

/// Says a duration in seconds.
pub(crate) fn seconds(taken: Duration) -> String {
    format!("{}.{} s", taken.as_secs(), taken.subsec_millis() / 100)
}
