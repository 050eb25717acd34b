//! Amounts of what an agent has, as integers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Thousandths of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MilliCpus(pub u64);

/// Bytes; Mesos counts memory and disk in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// 1024 * 1024 bytes.
pub const MIB: u64 = 1 << 20;

macro_rules! amount {
    ($($name:ident),*) => {$(
        impl $name {
            /// Subtracts down to nothing.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sub for $name {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                self.saturating_sub(other)
            }
        }
    )*};
}

amount!(MilliCpus, Bytes);

/// Shows cores without needless zeros: `2`, `0.5`, `0.125`.
impl fmt::Display for MilliCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Shows the largest binary unit that divides it: `4GiB`, `1536MiB`, `7B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut amount, mut unit) = (self.0, 0);
        while amount != 0 && amount % 1024 == 0 && unit + 1 < UNITS.len() {
            amount /= 1024;
            unit += 1;
        }
        write!(f, "{amount}{}", UNITS[unit])
    }
}

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// An amount that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Not a number of cores.
    #[error("\"{0}\" is not a number of cores, such as 2 or 0.5 (at most three decimals)")]
    Cores(String),
    /// Not a size.
    #[error("\"{0}\" is not a size, such as 512MiB or 4GiB (units: B, KiB, MiB, GiB, TiB)")]
    Size(String),
}

/// Reads `2`, `0.5` or `0.125`.
impl FromStr for MilliCpus {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let wrong = || ParseAmountError::Cores(text.chars().take(40).collect());
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        if part.len() > 3 || whole.is_empty() || !(whole.to_owned() + part).bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
        whole.checked_mul(1000).and_then(|milli| milli.checked_add(part)).map(Self).ok_or_else(wrong)
    }
}

/// Reads `4GiB`, `512MiB`, `100B`; a unit is needed.
impl FromStr for Bytes {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let wrong = || ParseAmountError::Size(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let power = UNITS.iter().position(|known| *known == unit.trim()).ok_or_else(wrong)?;
        let power = u32::try_from(power).map_err(|_| wrong())?;
        1024_u64.checked_pow(power).and_then(|scale| number.checked_mul(scale)).map(Self).ok_or_else(wrong)
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port, at least `first`.
    pub last: u16,
}

/// A set of ports.
///
/// The ranges are in order, don't touch each other and are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// Makes a set from ranges in any order, overlapping or not; an inverted range is empty.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| range.first <= range.last).collect();
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last)
                }
                Some(_) | None => merged.push(range),
            }
        }
        Self(merged)
    }

    /// Returns the ranges in order.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Tells whether `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.first <= port && port <= range.last)
    }

    /// Returns the lowest port.
    #[must_use]
    pub fn lowest(&self) -> Option<u16> {
        self.0.first().map(|range| range.first)
    }

    /// Tells whether the set is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many ports there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| u32::from(range.last - range.first) + 1).sum()
    }

    /// Takes one port out; tells whether it was there.
    pub fn remove(&mut self, port: u16) -> bool {
        let Some(at) = self.0.iter().position(|range| range.first <= port && port <= range.last) else { return false };
        let range = self.0.remove(at);
        if port < range.last {
            self.0.insert(at, PortRange { first: port + 1, last: range.last });
        }
        if range.first < port {
            self.0.insert(at, PortRange { first: range.first, last: port - 1 });
        }
        true
    }

    /// Adds the ports of `other`.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied())
    }
}

/// What one instance may use on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Cores.
    pub cpus: MilliCpus,
    /// Memory.
    pub mem: Bytes,
    /// Disk in the sandbox.
    pub disk: Bytes,
    /// Ports by their names in the bundle.
    pub ports: BTreeMap<String, u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ranges: &[(u16, u16)]) -> Ports {
        Ports::new(ranges.iter().map(|&(first, last)| PortRange { first, last }))
    }

    #[test]
    fn amounts_read_what_they_show() {
        for text in ["0", "2", "0.5", "0.125", "16.25"] {
            assert_eq!(text.parse::<MilliCpus>().unwrap().to_string(), text);
        }
        for text in ["0B", "7B", "4GiB", "1536MiB", "1KiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "1.2345", "1e3", ".5", "99999999999999999999", "inf"] {
            assert!(text.parse::<MilliCpus>().is_err(), "{text}");
        }
        for text in ["", "4", "4GB", "GiB", "-1GiB", "99999999999TiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_merge_when_they_touch() {
        assert_eq!(ports(&[(5, 6), (1, 2), (3, 3), (9, 8)]), ports(&[(1, 3), (5, 6)]));
        assert_eq!(ports(&[(65535, 65535), (1, 65535)]).count(), 65535);
    }

    #[test]
    fn a_removed_port_is_gone_and_its_neighbours_stay() {
        let mut set = ports(&[(10, 12)]);
        assert!(set.remove(11));
        assert!(!set.remove(11));
        assert_eq!(set, ports(&[(10, 10), (12, 12)]));
        assert!(set.remove(10) && set.remove(12) && set.is_empty());
    }
}
