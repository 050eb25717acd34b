//! Medians and quantiles of what was measured, and what a process has used.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What was measured, in order of size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sorted<T>(Vec<T>);

impl<T: Copy + PartialOrd> Sorted<T> {
    /// Sorts; every two of them must be comparable.
    pub(crate) fn new(mut all: Vec<T>) -> Self {
        all.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
        Self(all)
    }

    /// Returns the smallest one that so many percent are not above; `None` if nothing was measured.
    pub(crate) fn percentile(&self, percent: usize) -> Option<T> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }

    /// Returns the one in the middle, of two the smaller.
    pub(crate) fn median(&self) -> Option<T> {
        self.percentile(50)
    }

    /// Returns the largest.
    pub(crate) fn worst(&self) -> Option<T> {
        self.0.last().copied()
    }
}

/// Writes a time in milliseconds for a table.
#[expect(clippy::float_arithmetic, reason = "figures for people")]
pub(crate) fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1000.0))
}

/// Returns user and system time of a process (proc(5), stat fields 14 and 15, in clock ticks of 10 ms).
///
/// # Errors
/// There is no such process.
#[expect(clippy::float_arithmetic, reason = "figures for people")]
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks: u32 =
        fields.get(11).context("utime")?.parse::<u32>()? + fields.get(12).context("stime")?.parse::<u32>()?;
    Ok(f64::from(ticks) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_among_what_was_measured() {
        let check = |all: &[u32], expected: [Option<u32>; 3]| {
            let sorted = Sorted::new(all.to_vec());
            assert_eq!([sorted.median(), sorted.percentile(99), sorted.worst()], expected, "{all:?}");
        };
        check(&[], [None; 3]);
        check(&[7], [Some(7); 3]);
        check(&[4, 1, 3, 2], [Some(2), Some(4), Some(4)]);
        check(&(1..=200).rev().collect::<Vec<_>>(), [Some(100), Some(198), Some(200)]);
    }
}
