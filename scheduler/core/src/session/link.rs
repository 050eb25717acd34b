//! The link to Mesos: one subscription at a time.

use std::time::Duration;

use epic_common::time::Timestamp;

use crate::mesos::StreamId;

/// Where the subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is none.
    Down {
        /// When to try again.
        retry: Timestamp,
        /// Tries since the last one that stood.
        tries: u32,
        /// Why it ended; empty before the first.
        why: String,
    },
    /// It is being asked for.
    Connecting {
        /// Tries since the last one that stood, this one included.
        tries: u32,
    },
    /// It stands.
    Up {
        /// Its name.
        stream: StreamId,
        /// Since when.
        since: Timestamp,
        /// Tries since the last one that stood for a while.
        tries: u32,
    },
    /// Nobody tries any more, for this reason.
    Stopped {
        /// For people, with what to do next.
        why: String,
    },
}

impl Default for Link {
    fn default() -> Self {
        Self::Down { retry: Timestamp(0), tries: 0, why: String::new() }
    }
}

impl Link {
    /// Returns the name of the subscription that stands.
    #[must_use]
    pub const fn stream(&self) -> Option<&StreamId> {
        match self {
            Self::Up { stream, .. } => Some(stream),
            Self::Down { .. } | Self::Connecting { .. } | Self::Stopped { .. } => None,
        }
    }

    /// Tells whether a subscription stands.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.stream().is_some()
    }

    /// Says what is wrong with it, for people; empty if nothing is.
    #[must_use]
    pub fn problem(&self) -> &str {
        match self {
            Self::Down { why, .. } | Self::Stopped { why } => why,
            Self::Connecting { .. } | Self::Up { .. } => "",
        }
    }

    /// Returns how many tries there were since a subscription last stood for `steady` or longer.
    #[must_use]
    pub fn tries(&self, now: Timestamp, steady: Duration) -> u32 {
        match self {
            Self::Up { since, .. } if *since + steady <= now => 0,
            Self::Down { tries, .. } | Self::Connecting { tries } | Self::Up { tries, .. } => *tries,
            Self::Stopped { .. } => 0,
        }
    }
}
