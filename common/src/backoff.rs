//! How long to wait before the next try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Delays that double from `first` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub most: Duration,
}

impl Backoff {
    /// Returns the delay after so many failures in a row, zero after none.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doublings = (failures - 1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// Returns a delay between half of [`delay`](Self::delay) and all of it, chosen by `salt`.
    ///
    /// The salt is any number that differs between those who wait; a core has no randomness.
    #[must_use]
    pub fn jittered(&self, failures: u32, salt: u64) -> Duration {
        let whole = u64::try_from(self.delay(failures).as_micros()).unwrap_or(u64::MAX);
        let half = whole / 2;
        Duration::from_micros(whole - if half == 0 { 0 } else { scramble(salt) % half })
    }
}

/// Spreads neighbouring numbers; the finaliser of `SplitMix64` (Steele, Lea, Flood 2014).
#[must_use]
pub const fn scramble(salt: u64) -> u64 {
    let mut z = salt.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

    #[test]
    fn delays_double_up_to_the_longest() {
        let seconds: Vec<_> = (0..9).map(|n| BACKOFF.delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACKOFF.delay(u32::MAX), BACKOFF.most);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for salt in 0..1000 {
            let delay = BACKOFF.jittered(3, salt);
            assert!(delay > Duration::from_secs(2) && delay <= Duration::from_secs(4), "{delay:?}");
        }
        assert_ne!(BACKOFF.jittered(3, 1), BACKOFF.jittered(3, 2));
    }
}
