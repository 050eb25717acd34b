//! What a person reads: a line for each thing that happens, with the seconds since the start at its left.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// Standard output, and when the program began.
#[derive(Debug)]
pub(crate) struct Screen {
    started: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Says what happens now; further lines of the text stand below the first.
    pub(crate) fn say(&self, text: &str) {
        let seconds = seconds(self.started.elapsed());
        let below = format!("\n{:10}", "");
        show(&format!("{seconds:>6} s  {}\n", text.trim_end().replace('\n', &below)));
    }

    /// Says how long it has been.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Writes a duration in seconds with one digit after the point.
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Shows a text as it is; a terminal that was closed is no reason to leave anything behind.
pub(crate) fn show(text: &str) {
    let mut out = io::stdout().lock();
    let _unread = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[test]
fn seconds_have_one_digit_after_the_point() {
    let shown = [0, 99, 100, 12_345].map(|millis| seconds(Duration::from_millis(millis)));
    assert_eq!(shown, ["0.0", "0.0", "0.1", "12.3"]);
}
