//! Places at which a test ends the process as `kill -9` would, or lets it hang; only where debug assertions are on.

/// A place at which the process can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The subscription stands.
    Subscribed,
    /// A launch is durable, and its ACCEPT not sent.
    LaunchCommitted,
    /// An ACCEPT was answered.
    Accepted,
    /// `TASK_RUNNING` is durable, and its acknowledgement not sent.
    RunningRecorded,
    /// A batch is durable, and not applied.
    Synced,
}

impl Point {
    /// All points with the word for each in `EPIC_CRASH_AT`.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Subscribed, "subscribed"),
        (Self::LaunchCommitted, "launch-committed"),
        (Self::Accepted, "accepted"),
        (Self::RunningRecorded, "running-recorded"),
        (Self::Synced, "synced"),
    ];
}

/// Dies here if `happened` and `EPIC_CRASH_AT` says so.
pub fn here_if(point: Point, happened: bool) {
    if happened {
        here(point);
    }
}

/// Dies here if `EPIC_CRASH_AT` says so, and hangs if `EPIC_HANG_AT` does.
pub fn here(point: Point) {
    #[cfg(debug_assertions)]
    {
        let asks = |variable| {
            let asked = std::env::var(variable).unwrap_or_default();
            Point::ALL.iter().any(|(known, word)| *known == point && *word == asked)
        };
        while asks("EPIC_HANG_AT") {
            std::thread::park();
        }
        if asks("EPIC_CRASH_AT") {
            // Not an exit: nothing may be flushed, closed or told.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = point;
}
