//! Choices that a seed decides.

use std::time::Duration;

/// A row of numbers that is the same for the same seed.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// A row of its own for each round and purpose.
    pub(super) fn new(seed: u64, round: u32, purpose: u64) -> Self {
        let mut dice = Self(seed ^ (u64::from(round) << 32) ^ (purpose << 60));
        dice.0 = dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `end`, which is above 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into a list of that length, which isn't empty.
    pub(super) fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("a length fits in 64 bits");
        usize::try_from(self.below(length)).expect("it is below a length")
    }

    /// A time between both, in whole milliseconds.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis(least) + self.below(millis(most.saturating_sub(least)) + 1))
    }
}

#[test]
fn the_same_seed_makes_the_same_choices_and_each_round_others() {
    let row = |seed, round, purpose| {
        let mut dice = Dice::new(seed, round, purpose);
        (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
    };
    assert_eq!(row(7, 1, 0), row(7, 1, 0));
    assert_ne!(row(7, 1, 0), row(8, 1, 0));
    assert_ne!(row(7, 1, 0), row(7, 2, 0));
    assert_ne!(row(7, 1, 0), row(7, 1, 1));
}
