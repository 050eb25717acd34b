//! How long something has lasted, told when somebody asks.
//!
//! Ages are of a clock that never jumps, so that a wrong one raises no alarm.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::table::{APPEND_AGE, BEHIND};

/// A batch that is on its way to the journal, from its proposal until this is dropped.
///
/// At most one is at a time; one that is void and not dropped yet doesn't hide the next.
#[derive(Debug)]
pub struct Append {
    began: Instant,
    mark: u64,
}

/// Since when something is so, in microseconds since the first look at the clock and 1; 0 while it isn't.
#[derive(Debug)]
struct Since(AtomicU64);

impl Append {
    /// A batch was proposed now.
    #[must_use]
    pub fn begin() -> Self {
        let (began, mark) = (Instant::now(), mark());
        APPENDING.0.store(mark, Ordering::Relaxed);
        Self { began, mark }
    }

    /// Returns for how long it has been on its way.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        // A later one has its own mark, which stays.
        APPENDING.0.compare_exchange(self.mark, 0, Ordering::Relaxed, Ordering::Relaxed).ok();
    }
}

impl Since {
    fn age(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(mark().saturating_sub(since)),
        }
    }
}

/// This replica has, or hasn't, reached the journal's end.
pub(super) fn caught_up(is_so: bool) {
    let since = if is_so { 0 } else { mark() };
    // Who is behind already is so since then.
    if is_so || BEHIND_SINCE.0.load(Ordering::Relaxed) == 0 {
        BEHIND_SINCE.0.store(since, Ordering::Relaxed);
    }
}

/// Shows the ages of now.
pub(super) fn show() {
    APPEND_AGE.set([], APPENDING.age().as_secs_f64());
    BEHIND.set([], BEHIND_SINCE.age().as_secs_f64());
}

fn mark() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_micros()).map_or(u64::MAX, |micros| micros.saturating_add(1))
}

static APPENDING: Since = Since(AtomicU64::new(0));
static BEHIND_SINCE: Since = Since(AtomicU64::new(0));
